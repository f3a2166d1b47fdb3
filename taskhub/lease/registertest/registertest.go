// Package registertest is the suite that every lease.Register passes, one subtest for
// each clause of its contract.
package registertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// racers is how many writers race for one record, rounds how often.
const (
	racers = 32
	rounds = 5
)

// Run tests the register that open makes. Keys are used once in a Run.
func Run(t *testing.T, open func(t *testing.T) lease.Register) {
	r := open(t)
	ctx := t.Context()
	t.Run("a missing record is ErrNotFound", func(t *testing.T) {
		if _, _, err := r.Get(ctx, "session/missing"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Get: got %v, want %v", err, storage.ErrNotFound)
		}
	})
	t.Run("create, read, replace", func(t *testing.T) {
		tag, err := r.Create(ctx, "p/00/root", []byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, r, "p/00/root", "one", tag)
		next, err := r.Replace(ctx, "p/00/root", tag, []byte("two"))
		if err != nil {
			t.Fatal(err)
		}
		if next == tag {
			t.Errorf("Replace kept the tag %q", tag)
		}
		expect(t, r, "p/00/root", "two", next)
	})
	t.Run("create over a record is ErrConflict", func(t *testing.T) {
		tag := create(t, r, "session/there")
		if _, err := r.Create(ctx, "session/there", []byte("again")); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("Create: got %v, want %v", err, storage.ErrConflict)
		}
		expect(t, r, "session/there", "first", tag)
	})
	t.Run("replace with a stale tag is ErrConflict", func(t *testing.T) {
		old := create(t, r, "session/moved")
		tag, err := r.Replace(ctx, "session/moved", old, []byte("second"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Replace(ctx, "session/moved", old, []byte("late")); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("Replace: got %v, want %v", err, storage.ErrConflict)
		}
		expect(t, r, "session/moved", "second", tag)
	})
	t.Run("replace of a missing record is ErrConflict", func(t *testing.T) {
		tag := create(t, r, "session/other")
		if _, err := r.Replace(ctx, "session/never", tag, []byte("x")); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("Replace: got %v, want %v", err, storage.ErrConflict)
		}
		if _, _, err := r.Get(ctx, "session/never"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Replace made the record: %v", err)
		}
	})
	t.Run("one of many racing creators wins", func(t *testing.T) {
		for round := range rounds {
			key := fmt.Sprintf("race/create-%d", round)
			won := race(func(n int) error {
				_, err := r.Create(ctx, key, fmt.Appendf(nil, "writer %d", n))
				return err
			})
			if won != 1 {
				t.Errorf("round %d: %d creators won", round, won)
			}
		}
	})
	t.Run("one of many racing writers wins", func(t *testing.T) {
		tag := create(t, r, "race/replace")
		for round := range rounds {
			won := race(func(n int) error {
				_, err := r.Replace(ctx, "race/replace", tag, fmt.Appendf(nil, "round %d writer %d", round, n))
				return err
			})
			if won != 1 {
				t.Errorf("round %d: %d writers won", round, won)
			}
			var err error
			if _, tag, err = r.Get(ctx, "race/replace"); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a cancelled context ends a call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := r.Get(ctx, "p/00/root"); err == nil || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
	})
}

func create(t *testing.T, r lease.Register, key string) storage.Tag {
	t.Helper()
	tag, err := r.Create(t.Context(), key, []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func expect(t *testing.T, r lease.Register, key, body string, tag storage.Tag) {
	t.Helper()
	got, now, err := r.Get(t.Context(), key)
	if err != nil || string(got) != body || now != tag {
		t.Errorf("Get %s: got %q, tag %q, %v; want %q, tag %q", key, got, now, err, body, tag)
	}
}

// race counts the writers that win; the others must be told that they lost.
func race(write func(n int) error) int {
	var wg sync.WaitGroup
	var won, strange atomic.Int32
	start := make(chan struct{})
	for n := range racers {
		wg.Go(func() {
			<-start
			switch err := write(n); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, storage.ErrConflict):
				strange.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load() + 1000*strange.Load())
}
