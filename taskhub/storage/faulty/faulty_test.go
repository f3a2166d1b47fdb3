package faulty_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestStoreWithoutFaults(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return faulty.New(memory.New(), nil) })
}

// wantLost: an injected error must leave the outcome open.
func wantLost(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, faulty.ErrInjected) {
		t.Errorf("%s: got %v, want ErrInjected", what, err)
	}
	for _, v := range []error{storage.ErrNotFound, storage.ErrConflict, storage.ErrDenied, storage.ErrInvalidKey, storage.ErrTooLarge} {
		if errors.Is(err, v) {
			t.Errorf("%s: %v is a verdict", what, err)
		}
	}
}

func has(t *testing.T, s storage.Store, key string) bool {
	t.Helper()
	_, _, err := s.Get(context.Background(), key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestCreate(t *testing.T) {
	for _, tt := range []struct {
		fault         faulty.Fault
		applied, late bool // at once, and after ApplyLate
	}{
		{faulty.FailBefore, false, false},
		{faulty.FailAfter, true, true},
		{faulty.FailLate, false, true},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			inner := memory.New()
			s := faulty.New(inner, faulty.Script(faulty.Create, "k", tt.fault))
			body := []byte("mine")
			_, err := s.Create(t.Context(), "k", body)
			wantLost(t, "Create", err)
			copy(body, "XXXX")
			if got := has(t, inner, "k"); got != tt.applied {
				t.Errorf("applied at once: %v, want %v", got, tt.applied)
			}
			s.ApplyLate()
			if got := has(t, inner, "k"); got != tt.late {
				t.Errorf("applied in the end: %v, want %v", got, tt.late)
			}
			if got, _, _ := inner.Get(t.Context(), "k"); tt.late && string(got) != "mine" {
				t.Errorf("body %q: the caller's slice was kept", got)
			}
			// Sent again, it resolves: nil or a conflict with ourselves.
			if _, err := s.Create(t.Context(), "k", []byte("mine")); tt.late != errors.Is(err, storage.ErrConflict) || !tt.late && err != nil {
				t.Errorf("the same again: %v", err)
			}
		})
	}
}

func TestLateWriteKeepsItsCondition(t *testing.T) {
	ctx, inner := t.Context(), memory.New()
	tag, err := inner.Create(ctx, "k", []byte("A"))
	if err != nil {
		t.Fatal(err)
	}
	s := faulty.New(inner, faulty.Script(faulty.Replace, "k", faulty.FailLate))
	_, err = s.Replace(ctx, "k", tag, []byte("late"))
	wantLost(t, "Replace", err)
	if _, err := s.Replace(ctx, "k", tag, []byte("B")); err != nil {
		t.Fatal(err)
	}
	if n := s.ApplyLate(); n != 1 {
		t.Errorf("%d late writes, want 1", n)
	}
	if body, _, _ := inner.Get(ctx, "k"); string(body) != "B" {
		t.Errorf("body %q: a late write overcame its condition", body)
	}
}

func TestLateWritesOutliveTheirContextAndKeepOrder(t *testing.T) {
	inner := memory.New()
	s := faulty.New(inner, func(op faulty.Op, _ string) faulty.Fault {
		if op.IsWrite() {
			return faulty.FailLate
		}
		return faulty.Pass
	})
	ctx, cancel := context.WithCancel(t.Context())
	s.Create(ctx, "k", []byte("first"))
	s.Create(ctx, "k", []byte("second"))
	wantLost(t, "Delete", s.Delete(ctx, "gone"))
	cancel()
	if n := s.ApplyLate(); n != 3 {
		t.Errorf("%d late writes, want 3", n)
	}
	if body, _, _ := inner.Get(t.Context(), "k"); string(body) != "first" {
		t.Errorf("body %q, want that of the first", body)
	}
	if n := s.ApplyLate(); n != 0 {
		t.Errorf("%d late writes were applied again", n)
	}
}

func TestScheduler(t *testing.T) {
	var queue []func()
	inner := memory.New()
	s := faulty.New(inner, faulty.Script(faulty.Create, "k", faulty.FailLate),
		faulty.Later(func(apply func()) { queue = append(queue, apply) }))
	s.Create(t.Context(), "k", nil)
	if s.ApplyLate() != 0 || len(queue) != 1 || has(t, inner, "k") {
		t.Fatalf("the late write went elsewhere, %d scheduled", len(queue))
	}
	queue[0]()
	if !has(t, inner, "k") {
		t.Error("the scheduled write did nothing")
	}
}

func TestHangEndsWithTheContext(t *testing.T) {
	inner := memory.New()
	s := faulty.New(inner, func(faulty.Op, string) faulty.Fault { return faulty.Hang })
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	calls := []func() error{
		func() error { _, _, err := s.Get(ctx, "k"); return err },
		func() error { _, err := s.Create(ctx, "k", nil); return err },
		func() error { _, err := s.Replace(ctx, "k", "t", nil); return err },
		func() error { return s.Delete(ctx, "k") },
		func() (last error) {
			for _, err := range s.List(ctx, "", "") {
				last = err
			}
			return last
		},
	}
	for _, call := range calls {
		go func() { errs <- call() }()
	}
	select {
	case err := <-errs:
		t.Fatalf("answered before the context ended: %v", err)
	default:
	}
	cancel()
	for range calls {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	}
	if has(t, inner, "k") {
		t.Error("a hanging write was applied")
	}
}

func TestReadsAndLists(t *testing.T) {
	ctx, inner := t.Context(), memory.New()
	for i := range 3 {
		inner.Create(ctx, fmt.Sprint(i), nil)
	}
	for fault, want := range map[faulty.Fault]int{faulty.FailBefore: 0, faulty.FailAfter: 1, faulty.FailLate: 1} {
		s := faulty.New(inner, func(faulty.Op, string) faulty.Fault { return fault })
		body, tag, err := s.Get(ctx, "0")
		wantLost(t, "Get", err)
		if body != nil || tag != "" {
			t.Errorf("%v: Get returned %q, %q beside its error", fault, body, tag)
		}
		entries := 0
		var last error
		for _, err := range s.List(ctx, "", "") {
			if last = err; err == nil {
				entries++
			}
		}
		wantLost(t, "List", last)
		if entries != want {
			t.Errorf("%v: %d entries before the error, want %d", fault, entries, want)
		}
		for range s.List(ctx, "", "") {
			break // must not be called again
		}
	}
}

func TestOutage(t *testing.T) {
	ctx, inner := t.Context(), memory.New()
	s := faulty.New(inner, nil)
	s.SetOutage(true)
	_, err := s.Create(ctx, "k", nil)
	wantLost(t, "Create", err)
	if has(t, inner, "k") {
		t.Error("a write was applied during the outage")
	}
	s.SetOutage(false)
	if _, err := s.Create(ctx, "k", nil); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func draw(decide faulty.Decide, keys []string, n int) map[string][]faulty.Fault {
	drawn := make(map[string][]faulty.Fault)
	for _, key := range keys {
		for range n {
			drawn[key] = append(drawn[key], decide(faulty.Create, key))
		}
	}
	return drawn
}

func TestSeeded(t *testing.T) {
	rates := faulty.Rates{FailBefore: 0.1, FailAfter: 0.2, FailLate: 0.05, Hang: 0.15}
	keys := []string{"a", "b", "c", "d"}
	const n = 5000
	first := draw(faulty.Seeded(7, rates), keys, n)
	slices.Reverse(keys) // the order of requests to different keys does not matter
	second := draw(faulty.Seeded(7, rates), keys, n)
	other := draw(faulty.Seeded(8, rates), keys, n)
	counts := make(map[faulty.Fault]float64)
	for _, key := range keys {
		if !slices.Equal(first[key], second[key]) {
			t.Errorf("%s: the same seed drew other faults", key)
		}
		if slices.Equal(first[key], other[key]) {
			t.Errorf("%s: another seed drew the same faults", key)
		}
		for _, f := range first[key] {
			counts[f] += 1. / (4 * n)
		}
	}
	if slices.Equal(first["a"], first["b"]) {
		t.Error("two keys met the same faults")
	}
	for f, want := range map[faulty.Fault]float64{
		faulty.Pass: 0.5, faulty.FailBefore: 0.1, faulty.FailAfter: 0.2, faulty.FailLate: 0.05, faulty.Hang: 0.15,
	} {
		if got := counts[f]; got < want-0.015 || got > want+0.015 {
			t.Errorf("%v: rate %.3f, want %.3f", f, got, want)
		}
	}
}

func TestOnlyAndDrawn(t *testing.T) {
	decide := faulty.Only(faulty.Drawn(rand.New(rand.NewPCG(1, 2)), faulty.Rates{FailBefore: 1}), faulty.Create, faulty.Replace)
	for op, want := range map[faulty.Op]faulty.Fault{
		faulty.Get: faulty.Pass, faulty.Create: faulty.FailBefore, faulty.Replace: faulty.FailBefore,
		faulty.Delete: faulty.Pass, faulty.List: faulty.Pass,
	} {
		if got := decide(op, "k"); got != want {
			t.Errorf("%v: %v, want %v", op, got, want)
		}
	}
}

// TestLateWriteKeepsItsDeadline: a write that is under way carries the moment after which
// the store refuses it, however late it lands.
func TestLateWriteKeepsItsDeadline(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	inner := memory.NewWithClock(func() time.Time { return now })
	s := faulty.New(inner, func(faulty.Op, string) faulty.Fault { return faulty.FailLate })
	ctx := storage.Until(t.Context(), now.Add(10*time.Second))
	for _, key := range []string{"in-time", "too-late"} {
		if _, err := s.Create(ctx, key, []byte("x")); !errors.Is(err, faulty.ErrInjected) {
			t.Fatal(err)
		}
		s.ApplyLate()
		now = now.Add(10 * time.Second)
	}
	if _, _, err := inner.Get(t.Context(), "in-time"); err != nil {
		t.Errorf("the write that landed in time: %v", err)
	}
	if _, _, err := inner.Get(t.Context(), "too-late"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the write that landed too late: %v", err)
	}
}
