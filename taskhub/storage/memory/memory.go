// Package memory is a storage.Store in the memory of one process, for tests, the
// simulator and throw-away hubs. Nothing survives the process.
//
// It is as strict as the strictest real store: tags are content hashes, so content
// that comes back brings its old tag back, and a key that is a folder of another
// is refused. Code that runs on it has no luck that it lacks elsewhere.
package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// page is how many entries List copies under one lock; the lock is never held
// while the caller's loop body runs.
const page = 256

// Store is an in-memory storage.Store. Use New or NewWithClock.
type Store struct {
	now func() time.Time

	mu      sync.RWMutex
	objects map[string]object
	keys    []string // the keys of objects, sorted
}

// object is one stored body; the slice is written once and never again.
type object struct {
	body     []byte
	tag      storage.Tag
	modified time.Time
}

var _ storage.Store = (*Store)(nil)

// New returns an empty store that stamps objects with the wall clock.
func New() *Store { return NewWithClock(time.Now) }

// NewWithClock returns an empty store whose Entry.Modified, and whose word on what has
// expired, come from now, which must be safe for concurrent use. A simulator passes its
// virtual clock.
func NewWithClock(now func() time.Time) *Store {
	return &Store{now: now, objects: make(map[string]object)}
}

// String names the store in errors of the probe.
func (s *Store) String() string { return "the in-memory store" }

// Get implements storage.Store. The caller owns the returned slice.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	if err := check(ctx, key, nil); err != nil {
		return nil, "", fail("get", key, err)
	}
	s.mu.RLock()
	o, ok := s.objects[key]
	s.mu.RUnlock()
	if !ok {
		return nil, "", fail("get", key, storage.ErrNotFound)
	}
	return append([]byte{}, o.body...), o.tag, nil
}

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("create", key, err)
	}
	o := s.newObject(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := storage.CheckDeadline(ctx, s.now()); err != nil {
		return "", fail("create", key, err)
	}
	if _, ok := s.objects[key]; ok {
		return "", fail("create", key, storage.ErrConflict)
	}
	if other, ok := s.nested(key); ok {
		return "", fail("create", key, fmt.Errorf("%w: one of it and the existing key %s is a folder of the other", storage.ErrInvalidKey, other))
	}
	at, _ := slices.BinarySearch(s.keys, key)
	s.keys = slices.Insert(s.keys, at, key)
	s.objects[key] = o
	return o.tag, nil
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("replace", key, err)
	}
	o := s.newObject(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := storage.CheckDeadline(ctx, s.now()); err != nil {
		return "", fail("replace", key, err)
	}
	if cur, ok := s.objects[key]; !ok || cur.tag != old {
		return "", fail("replace", key, storage.ErrConflict)
	}
	s.objects[key] = o
	return o.tag, nil
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key, nil); err != nil {
		return fail("delete", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := storage.CheckDeadline(ctx, s.now()); err != nil {
		return fail("delete", key, err)
	}
	if at, ok := slices.BinarySearch(s.keys, key); ok {
		s.keys = slices.Delete(s.keys, at, at+1)
		delete(s.objects, key)
	}
	return nil
}

// List implements storage.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		after := after // the sequence may be ranged over again
		buf := make([]storage.Entry, 0, page)
		for {
			if err := ctx.Err(); err != nil {
				yield(storage.Entry{}, fail("list", prefix, err))
				return
			}
			buf = s.appendPage(buf[:0], prefix, after)
			for _, e := range buf {
				if !yield(e, nil) {
					return
				}
				after = e.Key
			}
			if len(buf) < page {
				return
			}
		}
	}
}

// appendPage appends at most page entries under prefix and greater than after.
func (s *Store) appendPage(buf []storage.Entry, prefix, after string) []storage.Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearch(s.keys, max(prefix, after))
	if found && after >= prefix {
		at++
	}
	for ; at < len(s.keys) && len(buf) < page && strings.HasPrefix(s.keys[at], prefix); at++ {
		key := s.keys[at]
		o := s.objects[key]
		buf = append(buf, storage.Entry{Key: key, Size: int64(len(o.body)), Tag: o.tag, Modified: o.modified})
	}
	return buf
}

// nested returns an existing key that is a folder of key, or the other way round.
func (s *Store) nested(key string) (string, bool) {
	for i := range len(key) {
		if key[i] == '/' {
			if _, ok := s.objects[key[:i]]; ok {
				return key[:i], true
			}
		}
	}
	folder := key + "/"
	if at, _ := slices.BinarySearch(s.keys, folder); at < len(s.keys) && strings.HasPrefix(s.keys[at], folder) {
		return s.keys[at], true
	}
	return "", false
}

// newObject copies body; hashing happens outside the lock.
func (s *Store) newObject(body []byte) object {
	sum := sha256.Sum256(body)
	return object{
		body:     append([]byte{}, body...),
		tag:      storage.Tag(hex.EncodeToString(sum[:16])),
		modified: s.now(),
	}
}

// check holds what every verb refuses before it looks at the data.
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
	return fmt.Errorf("memory: %s %s: %w", verb, key, err)
}
