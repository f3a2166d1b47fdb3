package faulty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// ErrInjected is in every error that a fault made. It is no verdict of
// storage.Store, so the outcome of a write that got it is unknown.
var ErrInjected = errors.New("injected fault")

// Store is a storage.Store with faults. Use New.
type Store struct {
	inner  storage.Store
	decide Decide
	later  func(apply func())
	outage atomic.Bool

	mu      sync.Mutex
	pending []func() // late writes that wait for ApplyLate
}

var _ storage.Store = (*Store)(nil)

// Option changes a Store at New.
type Option func(*Store)

// Later hands late writes to schedule, which runs apply once, whenever it likes, or
// never. Without it they wait for ApplyLate.
func Later(schedule func(apply func())) Option {
	return func(s *Store) { s.later = schedule }
}

// New returns inner with faults as decide says; a nil decide lets everything pass.
func New(inner storage.Store, decide Decide, opts ...Option) *Store {
	s := &Store{inner: inner, decide: decide}
	s.later = s.keep
	for _, o := range opts {
		o(s)
	}
	return s
}

// SetOutage makes every request fail before it is applied, or ends that. Requests
// already begun are not touched.
func (s *Store) SetOutage(down bool) { s.outage.Store(down) }

// ApplyLate applies the late writes so far, in the order they were made, and
// returns their number. A write whose condition no longer holds does nothing.
func (s *Store) ApplyLate() int {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, apply := range pending {
		apply()
	}
	return len(pending)
}

func (s *Store) keep(apply func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, apply)
}

// fate is the fault of a request that may reach the store at all.
func (s *Store) fate(op Op, key string) Fault {
	switch {
	case s.outage.Load():
		return FailBefore
	case s.decide == nil:
		return Pass
	default:
		return s.decide(op, key)
	}
}

func lost(op Op, key string, f Fault) error {
	return fmt.Errorf("%s %s: %w: %v", op, key, ErrInjected, f)
}

// hang waits for the end of ctx.
func hang(ctx context.Context, op Op, key string) error {
	<-ctx.Done()
	return fmt.Errorf("%s %s: %w: %w", op, key, ErrInjected, ctx.Err())
}

// meet lets a request meet its fate; do applies it. An invalid request gets no
// fault: no store is asked. Neither does one whose context has ended.
func (s *Store) meet(ctx context.Context, op Op, key string, body []byte, do func(context.Context, []byte) error) error {
	if storage.CheckKey(key) != nil || len(body) > storage.MaxObject || ctx.Err() != nil {
		return do(ctx, body)
	}
	switch f := s.fate(op, key); f {
	case Pass:
		return do(ctx, body)
	case Hang:
		return hang(ctx, op, key)
	case FailAfter:
		_ = do(ctx, body) // the answer is lost, be it a verdict or not
		return lost(op, key, f)
	case FailLate:
		if op.IsWrite() {
			// The caller gets its body back, and its context may end, before then.
			ctx, body := context.WithoutCancel(ctx), bytes.Clone(body)
			s.later(func() { _ = do(ctx, body) })
		}
		return lost(op, key, f)
	default:
		return lost(op, key, f)
	}
}

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	var body []byte
	var tag storage.Tag
	err := s.meet(ctx, Get, key, nil, func(ctx context.Context, _ []byte) (err error) {
		body, tag, err = s.inner.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return body, tag, nil
}

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return s.put(ctx, Create, key, body, func(ctx context.Context, body []byte) (storage.Tag, error) {
		return s.inner.Create(ctx, key, body)
	})
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return s.put(ctx, Replace, key, body, func(ctx context.Context, body []byte) (storage.Tag, error) {
		return s.inner.Replace(ctx, key, old, body)
	})
}

func (s *Store) put(ctx context.Context, op Op, key string, body []byte, write func(context.Context, []byte) (storage.Tag, error)) (storage.Tag, error) {
	answer := make(chan storage.Tag, 1) // a late write has nobody to answer to
	err := s.meet(ctx, op, key, body, func(ctx context.Context, body []byte) error {
		tag, err := write(ctx, body)
		answer <- tag
		return err
	})
	if err != nil {
		return "", err
	}
	return <-answer, nil
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.meet(ctx, Delete, key, nil, func(ctx context.Context, _ []byte) error {
		return s.inner.Delete(ctx, key)
	})
}

// List implements storage.Store. A fault that lets the store work breaks the
// listing off after its first entry.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		f := Pass
		if ctx.Err() == nil {
			f = s.fate(List, prefix)
		}
		switch f {
		case Hang:
			yield(storage.Entry{}, hang(ctx, List, prefix))
			return
		case FailBefore:
			yield(storage.Entry{}, lost(List, prefix, f))
			return
		}
		for e, err := range s.inner.List(ctx, prefix, after) {
			if !yield(e, err) {
				return
			}
			if f != Pass {
				break
			}
		}
		if f != Pass {
			yield(storage.Entry{}, lost(List, prefix, f))
		}
	}
}
