// Package metered wraps a storage.Store and counts what goes through it: what a
// hub costs on a bucket that bills by the request, and how long the store takes.
// Counting is a few atomic additions and two readings of the clock per request.
package metered

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// listPage is how many entries a bucket returns, and bills, as one LIST request.
const listPage = 1000

// Store counts the requests to another store. Use New.
type Store struct {
	inner                              storage.Store
	get, create, replace, delete, list meter
}

var _ storage.Store = (*Store)(nil)

// New returns a Store that passes everything to inner and counts from zero.
func New(inner storage.Store) *Store {
	s := &Store{inner: inner}
	for _, m := range []*meter{&s.get, &s.create, &s.replace, &s.delete, &s.list} {
		m.reset()
	}
	return s
}

// Unwrap returns the store that is being counted.
func (s *Store) Unwrap() storage.Store { return s.inner }

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	start := time.Now()
	body, tag, err := s.inner.Get(ctx, key)
	s.get.add(start, len(body), err)
	return body, tag, err
}

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	start := time.Now()
	tag, err := s.inner.Create(ctx, key, body)
	s.create.add(start, len(body), err)
	return tag, err
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	start := time.Now()
	tag, err := s.inner.Replace(ctx, key, old, body)
	s.replace.add(start, len(body), err)
	return tag, err
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	start := time.Now()
	err := s.inner.Delete(ctx, key)
	s.delete.add(start, 0, err)
	return err
}

// List implements storage.Store. It counts a request for every page of 1,000
// entries that was begun, as a bucket does; the time of a page includes that of
// the caller's loop body.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		start, n := time.Now(), 0
		var failed error
		for e, err := range s.inner.List(ctx, prefix, after) {
			if n == listPage {
				s.list.add(start, 0, nil)
				start, n = time.Now(), 0
			}
			n++
			failed = err
			if !yield(e, err) {
				break
			}
		}
		s.list.add(start, 0, failed)
	}
}

// Counts returns what was counted since New or the last Reset. Each number is
// exact; numbers of requests in flight may be a moment apart.
func (s *Store) Counts() Counts {
	return Counts{
		Get: s.get.verb(), Create: s.create.verb(), Replace: s.replace.verb(),
		Delete: s.delete.verb(), List: s.list.verb(),
	}
}

// Reset starts again from zero. Requests in flight count when they end.
func (s *Store) Reset() {
	for _, m := range []*meter{&s.get, &s.create, &s.replace, &s.delete, &s.list} {
		m.reset()
	}
}

// Counts is a snapshot by verb.
type Counts struct {
	Get, Create, Replace, Delete, List Verb
}

// Requests is the number of requests of all verbs.
func (c Counts) Requests() int64 {
	return c.Get.Requests + c.Create.Requests + c.Replace.Requests + c.Delete.Requests + c.List.Requests
}

// Puts is the number of Create and Replace requests, the ones that cost most.
func (c Counts) Puts() int64 { return c.Create.Requests + c.Replace.Requests }

// Verb holds the numbers of one verb.
type Verb struct {
	Requests int64 // begun and ended, whatever the outcome
	Bytes    int64 // of bodies: returned by Get, passed to Create and Replace
	Refused  int64 // ended with ErrNotFound or ErrConflict: an answer, and billed
	Errors   int64 // ended with any other error

	Total    time.Duration // of all requests; the mean is Total / Requests
	Min, Max time.Duration // zero without requests
}

// Mean is the mean duration of a request, zero without requests.
func (v Verb) Mean() time.Duration {
	if v.Requests == 0 {
		return 0
	}
	return v.Total / time.Duration(v.Requests)
}

// meter is the live form of Verb; durations are in nanoseconds.
type meter struct {
	requests, bytes, refused, errors atomic.Int64
	total, min, max                  atomic.Int64
}

// never is the minimum before the first request.
const never = int64(^uint64(0) >> 1)

func (m *meter) reset() {
	for _, c := range []*atomic.Int64{&m.requests, &m.bytes, &m.refused, &m.errors, &m.total, &m.max} {
		c.Store(0)
	}
	m.min.Store(never)
}

func (m *meter) add(start time.Time, bytes int, err error) {
	took := int64(time.Since(start))
	m.requests.Add(1)
	m.bytes.Add(int64(bytes))
	m.total.Add(took)
	for old := m.max.Load(); took > old && !m.max.CompareAndSwap(old, took); old = m.max.Load() {
	}
	for old := m.min.Load(); took < old && !m.min.CompareAndSwap(old, took); old = m.min.Load() {
	}
	switch {
	case err == nil:
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict):
		m.refused.Add(1)
	default:
		m.errors.Add(1)
	}
}

func (m *meter) verb() Verb {
	v := Verb{
		Requests: m.requests.Load(), Bytes: m.bytes.Load(),
		Refused: m.refused.Load(), Errors: m.errors.Load(),
		Total: time.Duration(m.total.Load()), Max: time.Duration(m.max.Load()),
	}
	if low := m.min.Load(); low != never {
		v.Min = time.Duration(low)
	}
	return v
}
