package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// Manifest names the objects of one checkpoint. It stands in the partition's root.
type Manifest struct {
	// Seq and Digest are the log record up to which it is complete at least.
	Seq    uint64 `json:"seq"`
	Epoch  uint64 `json:"epoch"`
	Digest string `json:"digest"`
	// Bundle holds the files that change with every checkpoint, Tables the others.
	Bundle Table   `json:"bundle"`
	Tables []Table `json:"tables"`
}

// Table is one immutable object of a checkpoint.
type Table struct {
	Name   string `json:"name"` // <epoch>-<n> below table/
	File   string `json:"file,omitempty"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Objects lists the names of all objects that the manifest needs.
func (m *Manifest) Objects() []string {
	if m == nil {
		return nil
	}
	names := []string{m.Bundle.Name}
	for _, t := range m.Tables {
		names = append(names, t.Name)
	}
	return names
}

// ErrDamaged means that an object of a checkpoint is missing or does not have the
// content that its manifest says. The error names the key.
var ErrDamaged = errors.New("checkpoint object is damaged")

// Publisher uploads the checkpoints of one partition under one epoch.
type Publisher struct {
	Store  storage.Store
	Sched  sched.Scheduler
	Prefix string // of table objects, ending in '/'
	Epoch  uint64
	// Guard is the lease under which the partition is written.
	Guard verdict.Guard

	next     uint64
	uploaded map[string]Table // shared files by their local name
}

// Known tells the publisher that the tables of m are in the bucket already, after
// the state was restored from m.
func (p *Publisher) Known(m *Manifest) {
	p.uploaded = map[string]Table{}
	if m == nil {
		return
	}
	for _, t := range m.Tables {
		p.uploaded[t.File] = t
	}
}

// Upload puts the files that the bucket does not have yet and returns the manifest,
// to be published by replacing the root. Names contain the epoch, so two owners
// never write the same name with different bytes.
func (p *Publisher) Upload(ctx context.Context, f Frozen) (*Manifest, error) {
	m := &Manifest{Seq: f.At.Seq, Epoch: f.At.Epoch, Digest: hex.EncodeToString(f.At.Digest[:]), Tables: []Table{}}
	if p.uploaded == nil {
		p.uploaded = map[string]Table{}
	}
	still := map[string]Table{}
	var bundle []byte
	for _, file := range f.Files {
		if t, ok := p.uploaded[file.Name]; ok && file.Shared {
			still[file.Name] = t
			m.Tables = append(m.Tables, t)
			continue
		}
		body, err := file.Read()
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		if !file.Shared {
			bundle = appendBundle(bundle, file.Name, body)
			continue
		}
		t, err := p.put(ctx, body)
		if err != nil {
			return nil, err
		}
		t.File = file.Name
		p.uploaded[file.Name] = t // also when a later file fails: it is there
		still[file.Name] = t
		m.Tables = append(m.Tables, t)
	}
	t, err := p.put(ctx, bundle)
	if err != nil {
		return nil, err
	}
	m.Bundle = t
	p.uploaded = still
	return m, nil
}

// put writes one object under a name that nobody else uses. An answer that is lost is
// no matter: the same name is never tried with other bytes.
func (p *Publisher) put(ctx context.Context, body []byte) (Table, error) {
	p.next++
	sum := sha256.Sum256(body)
	t := Table{Name: fmt.Sprintf("%d-%d", p.Epoch, p.next), Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
	return t, PutOnce(ctx, p.Sched, p.Guard, p.Store, p.Prefix+t.Name, body)
}

// PutOnce creates an object whose name is used for one content only, so that finding
// it there already means that it is ours. It does not give up before ctx ends or the
// lease is lost.
func PutOnce(ctx context.Context, s sched.Clock, guard verdict.Guard, store storage.Store, key string, body []byte) error {
	w := verdict.Writer{Guard: guard, Clock: s, Timeout: putTimeout(len(body))}
	if _, err := w.Create(ctx, store, key, body); err != nil { // a conflict is with itself
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// appendBundle adds a file to a bundle: uvarint length and name, uvarint length and body.
func appendBundle(b []byte, name string, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

// readBundle adds the files of a bundle to a state.
func readBundle(b []byte, into Builder) error {
	for len(b) > 0 {
		var field [2][]byte
		for n := range field {
			size, w := binary.Uvarint(b)
			if w <= 0 || size > uint64(len(b)-w) {
				return fmt.Errorf("%w: bundle is cut short", ErrDamaged)
			}
			field[n], b = b[w:w+int(size)], b[w+int(size):]
		}
		if err := into.Add(string(field[0]), field[1]); err != nil {
			return err
		}
	}
	return nil
}

// fetchTimeout is when an unanswered read of an object is made again.
const fetchTimeout = 20 * time.Second

// downloads is how many objects are fetched at once, and so how many are in memory.
const downloads = 8

// Restore fetches and checks the objects of a checkpoint and opens the state that they
// hold. A missing or damaged object is an ErrDamaged that names its key.
func Restore(ctx context.Context, s sched.Scheduler, store storage.Store, prefix string, m *Manifest, into Builder) (DB, error) {
	tables := append([]Table{m.Bundle}, m.Tables...)
	errs := make([]error, min(downloads, len(tables)))
	workers := sched.NewGroup(s)
	for worker := range errs {
		workers.Go(func() {
			for n := worker; n < len(tables) && errs[worker] == nil; n += len(errs) {
				errs[worker] = restoreOne(ctx, s, store, prefix, tables[n], n == 0, into)
			}
		})
	}
	if err := workers.Wait(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return into.Open()
}

func restoreOne(ctx context.Context, s sched.Clock, store storage.Store, prefix string, t Table, bundle bool, into Builder) error {
	body, err := fetch(ctx, s, store, prefix+t.Name, t)
	if err != nil {
		return err
	}
	if !bundle {
		return into.Add(t.File, body)
	}
	if err := readBundle(body, into); err != nil {
		return fmt.Errorf("%s%s: %w", prefix, t.Name, err)
	}
	return nil
}

func fetch(ctx context.Context, s sched.Clock, store storage.Store, key string, t Table) ([]byte, error) {
	a, err := verdict.Reader{Store: store, Clock: s, Timeout: fetchTimeout}.Get(ctx, key, func(b []byte) error {
		sum := sha256.Sum256(b)
		if int64(len(b)) != t.Bytes || !strings.EqualFold(hex.EncodeToString(sum[:]), t.SHA256) {
			return fmt.Errorf("%w: %s has %d bytes with another checksum than its manifest says (%d bytes)", ErrDamaged, key, len(b), t.Bytes)
		}
		return nil
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, key)
	}
	if err != nil {
		return nil, err
	}
	return a.Body, a.Bad
}

// putTimeout is when an unanswered PUT of n bytes is sent again: a slow uplink moves
// a MiB a second.
func putTimeout(n int) time.Duration {
	return 5*time.Second + time.Duration(n>>20)*time.Second
}
