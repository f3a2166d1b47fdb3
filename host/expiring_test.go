package host

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/bindings/files"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// endless is a store whose listings tell that they have begun, and end with their context
// or when they are let go.
type endless struct {
	storage.Store
	begun chan struct{}
	deaf  chan struct{} // nil: a listing ends with its context; else when this is closed
}

func (e *endless) List(ctx context.Context, _, _ string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		e.begun <- struct{}{}
		if e.deaf == nil {
			<-ctx.Done()
		} else {
			<-e.deaf
		}
		yield(storage.Entry{}, ctx.Err())
	}
}

func sweeping(t *testing.T, store *endless) *expiringFiles {
	t.Helper()
	f := newExpiringFiles(files.New(files.Options{Objects: store, BaseURL: "http://host"}), hclog.NewNullLogger())
	for range 2 { // the second one finds that a sweep is not due
		if _, err := f.Put(t.Context(), "a.txt", "", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	<-store.begun
	return f
}

func TestStopEndsASweep(t *testing.T) {
	store := &endless{Store: memory.New(), begun: make(chan struct{}, 1)}
	f := sweeping(t, store)
	if err := f.stop(t.Context()); err != nil {
		t.Error(err)
	}
	f.last = f.last.Add(-2 * sweepEvery)
	if _, err := f.Put(t.Context(), "a.txt", "", []byte("x")); err != nil {
		t.Error(err)
	}
	select {
	case <-f.swept:
	default:
		t.Error("a sweep has begun after the stop")
	}
}

func TestStopKeepsItsDeadline(t *testing.T) {
	store := &endless{Store: memory.New(), begun: make(chan struct{}, 1), deaf: make(chan struct{})}
	f := sweeping(t, store)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(store.deaf)
	if err := f.stop(t.Context()); err != nil {
		t.Error(err)
	}
}
