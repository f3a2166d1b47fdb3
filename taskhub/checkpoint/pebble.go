package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/durafunc/durafunc/taskhub/kv"
)

// Sizes of the LSM, from measurement: a memtable of 4 MiB cost 15 % of throughput
// against 32 MiB; files of 8 MiB keep a checkpoint at few requests and a PUT short.
const (
	memTableBytes = 32 << 20
	tableBytes    = 8 << 20
	manifestBytes = 1 << 20
	// pebbleFormat is pinned: files in a bucket outlive the binary that wrote them.
	pebbleFormat = pebble.FormatTableFormatV6
)

// Pebble opens states under Dir, each in a directory of its own that is removed on
// Close. Cache is the size of the block cache in bytes that they share.
type Pebble struct {
	Dir   string
	cache *pebble.Cache
}

// StateMemory is what one state's memtables take from the cache at most, in bytes:
// Pebble charges them to it. A cache that they fill holds no blocks, not even the
// filters, and every look-up of an id that is not there reads the disk.
const StateMemory = 2 * memTableBytes

// NewPebble prepares dir, removing what an earlier process left there: it is a cache
// of what the bucket holds and may be stale. cache is in bytes: StateMemory for each
// state, and what is left is for blocks.
func NewPebble(dir string, cache int64) (*Pebble, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	return &Pebble{Dir: dir, cache: pebble.NewCache(cache)}, nil
}

// Begin implements Opener.
func (p *Pebble) Begin(name string) (Builder, error) {
	dir := filepath.Join(p.Dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	return &pebbleBuilder{dir: dir, cache: p.cache}, nil
}

type pebbleBuilder struct {
	dir   string
	cache *pebble.Cache
}

// Add implements Builder.
func (b *pebbleBuilder) Add(file string, body []byte) error {
	if filepath.Base(file) != file {
		return fmt.Errorf("checkpoint: %q is no file name", file)
	}
	if err := os.WriteFile(filepath.Join(b.dir, file), body, 0o644); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// Open implements Builder.
func (b *pebbleBuilder) Open() (DB, error) {
	opts := &pebble.Options{
		FS: unsynced{vfs.Default}, DisableWAL: true, Cache: b.cache, Logger: quiet{},
		FormatMajorVersion: pebbleFormat, MemTableSize: memTableBytes, MemTableStopWritesThreshold: 4,
		MaxManifestFileSize: manifestBytes, L0CompactionThreshold: 4, L0StopWritesThreshold: 32,
	}
	for n := range opts.TargetFileSizes {
		opts.TargetFileSizes[n] = tableBytes
	}
	opts.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	db, err := pebble.Open(b.dir, opts)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	s := &pebbleDB{db: db, dir: b.dir}
	pos, err := s.Get(positionKey)
	if err == nil {
		s.at, err = decodePosition(pos)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

type pebbleDB struct {
	db      *pebble.DB
	dir     string
	freezes atomic.Uint64

	mu sync.Mutex
	at Position
}

func (s *pebbleDB) Get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = append(make([]byte, 0, len(v)), v...)
	return v, closer.Close()
}

func (s *pebbleDB) Scan(lo, hi []byte) iter.Seq2[kv.Entry, error] {
	return func(yield func(kv.Entry, error) bool) {
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
		if err != nil {
			yield(kv.Entry{}, err)
			return
		}
		defer func() { _ = it.Close() }() // it.Error was looked at
		for ok := it.First(); ok; ok = it.Next() {
			if !yield(kv.Entry{Key: it.Key(), Value: it.Value()}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(kv.Entry{}, err)
		}
	}
}

func (s *pebbleDB) Apply(ops []byte, at Position) error {
	b := s.db.NewBatchWithSize(len(ops) + 256)
	for m, err := range kv.Mutations(ops) {
		if err != nil {
			return errors.Join(err, b.Close())
		}
		switch m.Op {
		case kv.Put:
			d := b.SetDeferred(len(m.Key), len(m.Value))
			copy(d.Key, m.Key)
			copy(d.Value, m.Value)
			err = d.Finish()
		case kv.Delete:
			d := b.DeleteDeferred(len(m.Key))
			copy(d.Key, m.Key)
			err = d.Finish()
		case kv.DeleteRange:
			err = b.DeleteRange(m.Key, m.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	if err := b.Set(positionKey, encodePosition(at), nil); err != nil {
		return err
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	s.mu.Lock()
	s.at = at
	s.mu.Unlock()
	return b.Close()
}

func (s *pebbleDB) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *pebbleDB) Freeze() (Frozen, error) {
	at := s.Position()
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return Frozen{}, fmt.Errorf("checkpoint: flush: %w", err)
	}
	<-flushed
	dir := fmt.Sprintf("%s-freeze-%d", s.dir, s.freezes.Add(1))
	if err := s.db.Checkpoint(dir); err != nil {
		return Frozen{}, fmt.Errorf("checkpoint: %w", err)
	}
	f := Frozen{At: at, Release: func() { _ = os.RemoveAll(dir) }}
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.Release()
		return Frozen{}, fmt.Errorf("checkpoint: %w", err)
	}
	for _, e := range entries {
		f.Files = append(f.Files, File{
			Name:   e.Name(),
			Shared: strings.HasSuffix(e.Name(), ".sst"),
			Read:   func() ([]byte, error) { return os.ReadFile(filepath.Join(dir, e.Name())) },
		})
	}
	return f, nil
}

func (s *pebbleDB) Close() error {
	return errors.Join(s.db.Close(), os.RemoveAll(s.dir))
}

// unsynced is a file system that never waits for the disk: what Pebble writes is a
// cache of the bucket, and its syncs would compete with those of the log.
type unsynced struct{ vfs.FS }

func (u unsynced) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (u unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return u.wrap(u.FS.Create(name, c))
}

func (u unsynced) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return u.wrap(u.FS.OpenReadWrite(name, c, o...))
}

func (u unsynced) OpenDir(name string) (vfs.File, error) { return u.wrap(u.FS.OpenDir(name)) }

func (u unsynced) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return u.wrap(u.FS.ReuseForWrite(from, to, c))
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error                { return nil }
func (unsyncedFile) SyncData() error            { return nil }
func (unsyncedFile) SyncTo(int64) (bool, error) { return false, nil }

// quiet drops Pebble's chatter; what matters comes back as errors.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is called when Pebble cannot go on, as with a full disk: it would end the
// process, so it must not return.
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("working state: "+format, args...))
}

var _ io.Closer = (*pebbleDB)(nil)
