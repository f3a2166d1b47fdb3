package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

// Bucket is an object store shared by all hosts.
type Bucket struct {
	Weather Weather
	// Expiry: writes are refused after the moment that they carry (storage.Until), as most
	// stores do. Some do not look, and the fences must hold without.
	Expiry bool

	w       *World
	objects map[string]*object
	keys    []string // sorted
	// changed is told of every write and every deletion when it takes effect; old is
	// the body before, nil if there was none.
	changed func(key string, old, body []byte)
	// asked is told of every request when it is sent.
	asked func(h *Host)
	// trap freezes a host that is about to send a write.
	trap   func(h *Host)
	writes int
}

type object struct {
	body     []byte
	tag      storage.Tag
	modified time.Duration
}

// NewBucket makes an empty bucket.
func NewBucket(w *World) *Bucket {
	return &Bucket{w: w, objects: map[string]*object{}, changed: func(string, []byte, []byte) {}, asked: func(*Host) {}, trap: func(*Host) {}}
}

// Store is the bucket as a host sees it.
func (b *Bucket) Store(h *Host) storage.Store { return &hostStore{b: b, h: h} }

func (b *Bucket) put(key string, body []byte) storage.Tag {
	o := &object{body: body, tag: tagOf(body), modified: b.w.now}
	var before []byte
	if old := b.objects[key]; old != nil {
		before = old.body
	} else {
		n, _ := slices.BinarySearch(b.keys, key)
		b.keys = slices.Insert(b.keys, n, key)
	}
	b.objects[key] = o
	b.writes++
	b.changed(key, before, body)
	return o.tag
}

// tagOf is the tag of an object: a hash of its content, as on S3.
func tagOf(body []byte) storage.Tag {
	sum := sha256.Sum256(body)
	return storage.Tag(hex.EncodeToString(sum[:16]))
}

func (b *Bucket) remove(key string) {
	old := b.objects[key]
	if old == nil {
		return
	}
	delete(b.objects, key)
	n, _ := slices.BinarySearch(b.keys, key)
	b.keys = slices.Delete(b.keys, n, n+1)
	b.changed(key, old.body, nil)
}

// page is up to n entries under prefix and after a key.
func (b *Bucket) page(prefix, after string, n int) []storage.Entry {
	from, found := slices.BinarySearch(b.keys, max(prefix, after))
	if found && after >= prefix {
		from++
	}
	var entries []storage.Entry
	for _, key := range b.keys[from:] {
		if len(entries) == n || !strings.HasPrefix(key, prefix) {
			break
		}
		o := b.objects[key]
		entries = append(entries, storage.Entry{Key: key, Size: int64(len(o.body)), Tag: o.tag, Modified: beginning.Add(o.modified)})
	}
	return entries
}

// Errors of requests that did not get through.
var (
	errLost    = errors.New("no answer: connection lost")
	errRefused = errors.New("503 slow down")
)

// hostStore is one host's connection to the bucket.
type hostStore struct {
	b *Bucket
	h *Host
}

var _ storage.Store = (*hostStore)(nil)

// request sends one request and waits for its answer. apply takes effect in the bucket
// when, and if, the request arrives there.
func (s *hostStore) request(ctx context.Context, op faulty.Op, key string, apply func() error) error {
	b, w := s.b, s.b.w
	if err := storage.CheckKey(key); err != nil && op != faulty.List {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", op, key, context.Cause(ctx))
	}
	if op.IsWrite() && strings.HasPrefix(key, "p/") { // a partition's
		if _, ok := storage.Deadline(ctx); !ok {
			w.fail("%s sends %s of %s without a moment at which it expires", s.h.name, op, key)
		}
	}
	b.asked(s.h)
	fate := b.fate(op)
	signed, expires := s.signature(ctx, op)
	there, back := b.latency(), b.latency()+b.answering(op, key)
	var answer error
	err := w.block(ctx, func(x *waiter) {
		reply := func(err error) {
			w.at(s.h, back, func() {
				answer, s.h.told = err, s.h.ahead()
				x.wake(nil)
			})
		}
		arrive := func() {
			if op.IsWrite() {
				if age := beginning.Add(w.now).Sub(signed); age > signedFor || age < -signedFor {
					w.tracef("%s %s %s: signature of %v ago has expired", s.h.name, op, key, age)
					reply(fmt.Errorf("%w: request has expired", storage.ErrDenied))
					return
				}
				if now := beginning.Add(w.now); now.After(expires) {
					w.tracef("%s %s %s: expired %v ago", s.h.name, op, key, now.Sub(expires))
					reply(storage.ErrExpired)
					return
				}
			}
			err := b.denied(op)
			if err == nil {
				err = apply()
			}
			if op.IsWrite() || fate != faulty.Pass {
				w.tracef("%s %s %s: %s, %v", s.h.name, op, key, fate, errText(err))
			}
			if fate == faulty.FailAfter {
				err = errLost
			}
			reply(err)
		}
		switch fate {
		case faulty.FailBefore:
			w.tracef("%s %s %s: %s", s.h.name, op, key, fate)
			reply(b.refusal(op))
			return
		case faulty.FailLate, faulty.Hang:
			w.tracef("%s %s %s: %s", s.h.name, op, key, fate)
			if fate == faulty.FailLate {
				reply(errLost)
			}
			if op.IsWrite() && (fate == faulty.FailLate || w.chance(0.3)) {
				reply = func(error) {}
				w.at(nil, b.lateness(), arrive)
			}
			return
		}
		if w.chance(b.Weather.Held) {
			if strings.Contains(key, "/log/") && w.chance(b.Weather.Traps) && !s.h.frozen() {
				w.at(nil, there/2, func() { b.trap(s.h) })
			}
			w.at(s.h, there, func() {
				if b.Weather.SignsLate {
					signed, expires = s.signature(ctx, op)
				}
				arrive()
			})
			return
		}
		w.at(nil, there, arrive)
	})
	if err == nil {
		err = answer
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

// never is later than any run.
var never = beginning.AddDate(1000, 0, 0)

// signature is the date of a request that is signed now, and when the bucket refuses it,
// by the bucket's clock as the host knows it from the last answer: a clock that has stepped
// since signs wrongly once. A signature can tell whole seconds.
func (s *hostStore) signature(ctx context.Context, op faulty.Op) (signed, expires time.Time) {
	signed, expires = s.h.Now().Add(-s.h.told), never
	if until, ok := storage.Deadline(ctx); ok && op.IsWrite() && s.b.Expiry {
		expires = until.Add(-s.h.told).Truncate(time.Second)
	}
	return signed, expires
}

func errText(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// Get implements storage.Store.
func (s *hostStore) Get(ctx context.Context, key string) (body []byte, tag storage.Tag, err error) {
	err = s.request(ctx, faulty.Get, key, func() error {
		o := s.b.objects[key]
		if o == nil {
			return storage.ErrNotFound
		}
		body, tag = slices.Clone(o.body), o.tag
		body = s.spoiled(key, body)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return body, tag, nil
}

// Create implements storage.Store.
func (s *hostStore) Create(ctx context.Context, key string, body []byte) (tag storage.Tag, err error) {
	body = slices.Clone(body)
	err = s.request(ctx, faulty.Create, key, func() error {
		if s.b.objects[key] != nil {
			return storage.ErrConflict
		}
		tag = s.b.put(key, body)
		return nil
	})
	return tag, err
}

// Replace implements storage.Store.
func (s *hostStore) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (tag storage.Tag, err error) {
	body = slices.Clone(body)
	err = s.request(ctx, faulty.Replace, key, func() error {
		if o := s.b.objects[key]; o == nil || o.tag != old {
			return storage.ErrConflict
		}
		tag = s.b.put(key, body)
		return nil
	})
	return tag, err
}

// Delete implements storage.Store.
func (s *hostStore) Delete(ctx context.Context, key string) error {
	return s.request(ctx, faulty.Delete, key, func() error {
		s.b.remove(key)
		return nil
	})
}

// List implements storage.Store. Every page is a request of its own, so that objects
// come and go between pages.
func (s *hostStore) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		for after, more := after, true; more; {
			size := 1 + s.b.w.rng.IntN(1000)
			if s.b.Weather == (Weather{}) {
				size = 1000 // in good order it fills its pages, and requests can be counted
			}
			var page []storage.Entry
			err := s.request(ctx, faulty.List, prefix, func() error {
				page = s.b.page(prefix, after, size)
				return nil
			})
			if err != nil {
				yield(storage.Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.Key
			}
			more = len(page) == size
		}
	}
}
