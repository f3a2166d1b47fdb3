// Package file is a storage.Store in a directory: the embedded default, safe for
// several processes on one machine.
//
// An object is one file, its key the path below the directory. Names that hold a
// '~' are ours (no key may contain it): ~tmp has files being written, ~lock the
// lock files.
//
//   - An acknowledged Create or Replace is on disk with its name and the folders
//     above it. A reader never sees half an object; after a power cut neither does
//     recovery.
//   - Create links an unnamed file (O_TMPFILE) to its name, so that the kernel picks
//     the winner of a race and a crash leaves nothing to sweep. Where that is
//     refused it writes to ~tmp, links and unlinks; Open sweeps what a crash left.
//   - On ext4 and xfs one sync after the link makes bytes and name durable
//     together. Until then the file carries a mark with a hash of its content (an
//     extended attribute): whoever meets it finishes the sync first, and a file
//     that does not match its mark was torn by a power cut, was never acknowledged
//     or read, and counts as absent. Elsewhere the bytes are synced before the
//     link. See docs/decisions/0013.
//   - Replace always syncs the bytes first: a torn new version would cost the old.
//   - Replace and Delete hold one of 64 lock files (flock) chosen by the key. A
//     process that is stopped while it holds one delays the others of that stripe
//     until their contexts end; it can never write beside them.
//   - Objects that are named by 20 digits, as the records of a log are, share files that
//     are appended to: package journal. Not in folders that hold such objects as files.
//   - A Delete is not synced: the protocols above delete only what nothing refers
//     to, and a deletion that a power cut undid is garbage, not a lie.
//
// Tags are content hashes. List leaves Entry.Tag empty, it would have to read all
// files. Empty folders stay. Use a local file system: the guarantees are those of
// its fsync, link and flock.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	tmpDir  = "~tmp"
	lockDir = "~lock"

	// leftoverAge is how old a file in ~tmp must be before Open removes it. A
	// write takes milliseconds; an hour outlasts a process that was suspended.
	leftoverAge = time.Hour

	filePerm = 0o640
	dirPerm  = 0o750
)

// Store is a storage.Store in a directory. Use Open.
type Store struct {
	root       string
	dirs       dirCache
	locks      [stripes]stripe
	marks      bool          // files can carry marks, and syncsName
	syncsName  bool          // the sync of a linked file makes its name durable too
	noUnnamed  atomic.Bool   // this file system refuses O_TMPFILE
	tmpCounter atomic.Uint64 // makes names in ~tmp unique within the process

	journalsMu   sync.Mutex
	journals     map[string]*openJournal // by folder
	journalsUsed int64                   // how often one was asked for
}

var _ storage.Store = (*Store)(nil)

// Open returns the store in dir, which is made if it is missing. It removes
// temporary files older than an hour. The error is storage.ErrDenied when the
// directory cannot be written, and always names the path.
func Open(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file: open %s: %w", dir, err)
	}
	s := &Store{root: root, journals: map[string]*openJournal{}}
	s.dirs.open = make(map[string]*dirHandle)
	for i := range s.locks {
		s.locks[i].init(filepath.Join(root, lockDir, fmt.Sprintf("%02x", i)))
	}
	for _, d := range []string{root, filepath.Join(root, tmpDir), filepath.Join(root, lockDir)} {
		if err := makeRoot(d); err != nil {
			return nil, fmt.Errorf("file: open %s: %w", dir, verdict(err))
		}
	}
	s.syncsName, s.marks = probeSyncs(root)
	if err := s.sweep(time.Now().Add(-leftoverAge)); err != nil {
		return nil, fmt.Errorf("file: open %s: %w", dir, verdict(err))
	}
	return s, nil
}

// Close gives back the file descriptors that the store keeps open. Requests in
// flight finish; later ones work too, but keep descriptors open again.
func (s *Store) Close() error {
	s.journalsMu.Lock()
	for _, j := range s.journals {
		j.Close()
	}
	s.journalsMu.Unlock()
	errs := []error{s.dirs.close()}
	for i := range s.locks {
		errs = append(errs, s.locks[i].close())
	}
	return errors.Join(errs...)
}

// String names the store in errors of the probe.
func (s *Store) String() string { return "the directory " + s.root }

// Get implements storage.Store. The caller owns the returned slice.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	if err := check(ctx, key, nil); err != nil {
		return nil, "", fail("get", key, err)
	}
	if j, n := s.numbered(key); j != nil {
		body, err := j.Get(n)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", fail("get", key, storage.ErrNotFound)
		}
		if plain, err := settled(err); !plain {
			if err != nil {
				return nil, "", fail("get", key, err)
			}
			return body, sumOf(body).tag(), nil
		}
	}
	body, sum, err := read(s.path(key))
	if errors.Is(err, errTorn) {
		_ = s.discard(ctx, key) // or the next one will: it is absent already
		err = storage.ErrNotFound
	}
	if err != nil {
		return nil, "", fail("get", key, err)
	}
	return body, sum.tag(), nil
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key, nil); err != nil {
		return fail("delete", key, err)
	}
	if j, n := s.numbered(key); j != nil {
		if plain, err := settled(j.Delete(n, func() error { return inTime(ctx) })); !plain {
			if err != nil {
				return fail("delete", key, err)
			}
			return nil
		}
	}
	// Under the lock of Replace, whose rename would bring the object back.
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return fail("delete", key, err)
	}
	defer unlock()
	if err := inTime(ctx); err != nil {
		return fail("delete", key, err)
	}
	path := s.path(key)
	info, err := os.Lstat(path)
	if absent(err) || err == nil && info.IsDir() {
		return nil // os.Remove would take an empty folder for an object
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !absent(err) {
		return fail("delete", key, verdict(err))
	}
	return nil
}

// path is the file of a checked key.
func (s *Store) path(key string) string {
	return filepath.Join(s.root, filepath.FromSlash(key))
}

// sweep removes temporary files that were last written before the given time.
func (s *Store) sweep(before time.Time) error {
	entries, err := os.ReadDir(filepath.Join(s.root, tmpDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue // gone, or possibly still being written
		}
		// Another process may sweep at the same time, and a leftover that
		// cannot be removed harms nobody.
		os.Remove(filepath.Join(s.root, tmpDir, e.Name()))
	}
	return nil
}

// absent reports whether err means that no object has the key: nothing is there, a
// folder is, or a part of the path is an object.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// verdict adds storage.ErrDenied to what retrying does not cure. The error itself
// names the path.
func verdict(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", storage.ErrDenied, err)
	}
	return err
}

// check holds what every verb refuses before it looks at the disk.
func check(ctx context.Context, key string, body []byte) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if len(body) > storage.MaxObject {
		return fmt.Errorf("%w: %d bytes, at most %d", storage.ErrTooLarge, len(body), storage.MaxObject)
	}
	return ctx.Err()
}

func fail(verb, key string, err error) error {
	return fmt.Errorf("file: %s %s: %w", verb, key, err)
}

// readAll is os.ReadFile for an open file.
func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	body.Grow(int(min(info.Size(), storage.MaxObject)) + bytes.MinRead)
	_, err = body.ReadFrom(f)
	return body.Bytes(), err
}
