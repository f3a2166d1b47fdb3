package taskhub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// wantRaised counts the external events in an instance's history, once all that were
// acknowledged are in it.
func (h *hubHost) wantRaised(t *testing.T, id string, want int) {
	t.Helper()
	mark := fmt.Sprint("mark ", want) // events are taken in order, so this one is the last
	if err := h.RaiseEvent(t.Context(), id, mark, nil); err != nil {
		t.Fatal(err)
	}
	for {
		events, err := h.History(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		raised, marked := 0, false
		for _, e := range events {
			switch r := e.GetEventRaised(); {
			case r == nil:
			case r.Name == mark:
				marked = true
			case !strings.HasPrefix(r.Name, "mark "):
				raised++
			}
		}
		if marked {
			if raised != want {
				t.Errorf("%d events in the history, want %d", raised, want)
			}
			return
		}
		time.Sleep(10 * time.Millisecond) // virtual
	}
}

// What was acknowledged, or was committed without the client's knowing, is not done again
// by the next owner, whether it finds it in the log or in a checkpoint.
func TestRequestIsRememberedByTheNextOwner(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, h *hubHost){
		"after a crash": func(_ *testing.T, h *hubHost) { h.crash() },
		"after an orderly stop": func(t *testing.T, h *hubHost) {
			if err := h.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				first := host(t, b, running(nothing), proven)
				made, err := first.Start(WithRequestID(t.Context(), "s"), StartRequest{Name: "Hello"})
				if err != nil {
					t.Fatal(err)
				}
				raise := WithRequestID(t.Context(), "e")
				if err := first.RaiseEvent(raise, made.ID, "e", nil); err != nil {
					t.Fatal(err)
				}
				early := first.RaiseEvent(WithRequestID(t.Context(), "x"), "none", "e", nil)
				end(t, first)

				next := host(t, b, running(nothing), proven)
				again, err := next.Start(WithRequestID(t.Context(), "s"), StartRequest{Name: "Hello"})
				if err != nil || again != made {
					t.Errorf("start again: %+v, %v, first %+v", again, err, made)
				}
				if err := next.RaiseEvent(raise, made.ID, "e", nil); err != nil {
					t.Errorf("raise again: %v", err)
				}
				next.begin(t, "none")
				if err := next.RaiseEvent(WithRequestID(t.Context(), "x"), "none", "e", nil); !errors.Is(err, ErrNotFound) || err.Error() != early.Error() {
					t.Errorf("what was refused, again: %v, first %v", err, early)
				}
				next.wantRaised(t, made.ID, 1)
				next.wantRaised(t, "none", 0)
			})
		})
	}
}

// A client that gave up while the commit was under way sends again, several times at once.
func TestRequestAgainAfterALostAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		h.begin(t, "a")
		b.slow = time.Second
		ctx := WithRequestID(t.Context(), "e")
		impatient, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if err := h.RaiseEvent(impatient, "a", "e", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an answer came before the commit: %v", err)
		}
		before := b.count("log")
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := h.RaiseEvent(ctx, "a", "e", nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := b.count("log") - before; n > 1 { // of the episode
			t.Errorf("%d records for requests that do nothing", n)
		}
		h.wantRaised(t, "a", 1)
	})
}

func TestRequestIDsHaveLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), never) // its memory counts anew with each owner
		h.begin(t, "a")
		ctx := WithRequestID(t.Context(), "e")
		for range 2 {
			if err := h.RaiseEvent(ctx, "a", "e", nil); err != nil {
				t.Error(err)
			}
		}
		for what, err := range map[string]error{
			"another event":     h.RaiseEvent(ctx, "a", "f", nil),
			"another operation": h.Terminate(ctx, "a", "", false),
			"too long":          h.Suspend(WithRequestID(ctx, strings.Repeat("x", 129)), "a", ""),
		} {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := h.Start(WithRequestID(ctx, "\n"), StartRequest{Name: "Hello"}); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("a start with a bad id: %v", err)
		}
		h.wantRaised(t, "a", 1)
		time.Sleep(10*time.Minute + time.Second)
		if err := h.RaiseEvent(ctx, "a", "e", nil); err != nil {
			t.Error(err)
		}
		h.wantRaised(t, "a", 2)
	})
}

// Each operation has its own answer to repeat.
func TestEveryOperationCanBeRepeated(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		h.begin(t, "a")
		steps := []struct {
			name string
			do   func(ctx context.Context) error
		}{
			{"suspend", func(ctx context.Context) error { return h.Suspend(ctx, "a", "") }},
			{"resume", func(ctx context.Context) error { return h.Resume(ctx, "a", "") }},
			{"terminate", func(ctx context.Context) error { return h.Terminate(ctx, "a", "", false) }},
			{"purge", func(ctx context.Context) error { return h.Purge(ctx, "a") }},
		}
		for _, s := range steps {
			for n := range 3 {
				if err := s.do(WithRequestID(t.Context(), fmt.Sprint("id of ", s.name))); err != nil {
					t.Errorf("%s, time %d: %v", s.name, n, err)
				}
			}
			if err := s.do(t.Context()); err == nil {
				t.Errorf("%s without an id is answered like the first", s.name)
			}
		}
	})
}
