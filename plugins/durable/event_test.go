package durable

import (
	"errors"
	"testing"
	"time"
)

func TestEventsAreBufferedInOrderAndCaseDoesNotMatter(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]int, error) {
		var got []int
		CallActivity[int](ctx, "A", nil).Await()
		for range 3 {
			n, err := WaitForExternalEvent[int](ctx, "Go").Await()
			if err != nil {
				return nil, err
			}
			got = append(got, n)
		}
		return got, nil
	}), "O")
	h.start("", event("GO", "1"))
	h.episode(event("go", "2"), event("stop", "9"))
	expect(t, h.episode(done(0, "")))
	expect(t, h.episode(event("gO", "3")), "#1 Completed [1,2,3]")
}

func TestEventBeforeTheStartIsKept(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		return WaitForExternalEvent[int](ctx, "e").Await()
	}), "O")
	expect(t, h.episode(event("e", "5"), h.started("")), "#0 Completed 5")
}

func TestFirstWaiterGetsTheEvent(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]int, error) {
		a, b := WaitForExternalEvent[int](ctx, "e"), WaitForExternalEvent[int](ctx, "e")
		y, err := b.Await()
		x, _ := a.Await()
		return []int{x, y}, err
	}), "O")
	h.start("")
	expect(t, h.episode(event("e", "1")))
	expect(t, h.episode(event("e", "2")), "#0 Completed [1,2]")
}

func TestEventTimeout(t *testing.T) {
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		n, err := WaitForExternalEvent[int](ctx, "e", WithTimeout(time.Hour)).Await()
		switch {
		case errors.Is(err, ErrTimeout):
			second, err := WaitForExternalEvent[int](ctx, "e").Await()
			if second != 7 || err != nil {
				t.Errorf("the late event: %d, %v", second, err)
			}
			return "timeout", nil
		case err != nil || n != 7:
			t.Errorf("event: %d, %v", n, err)
		}
		return "event", nil
	})
	h := newTestHost(t, app, "O")
	expect(t, h.start(""), "#0 timer +1h0m1s")
	expect(t, h.episode(event("e", "7")), "#0 cancel", `#1 Completed "event"`)

	h = newTestHost(t, app, "O")
	h.start("")
	expect(t, h.episode(fired(0), event("e", "7")), `#1 Completed "timeout"`) // the dead wait takes no event

	h = newTestHost(t, app, "O")
	expect(t, h.start("", event("e", "7")), "#0 timer +1h0m1s", "#0 cancel", `#1 Completed "event"`)

	h = newTestHost(t, app, "O") // already there: no timer is needed
	expect(t, h.episode(event("e", "7"), h.started("")), `#0 Completed "event"`)
}

func TestZeroTimeoutTakesOnlyWhatIsThere(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]bool, error) {
		_, err1 := WaitForExternalEvent[int](ctx, "e", WithTimeout(0)).Await()
		_, err2 := WaitForExternalEvent[int](ctx, "e", WithTimeout(0)).Await()
		return []bool{err1 == nil, errors.Is(err2, ErrTimeout)}, nil
	}), "O")
	expect(t, h.episode(event("e", "1"), h.started("")), "#0 Completed [true,true]")
}

func TestCancelledWaitTakesNoEvent(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		a := WaitForExternalEvent[int](ctx, "e", WithTimeout(time.Hour))
		b := WaitForExternalEvent[int](ctx, "e")
		if !a.Cancel() || a.Cancel() {
			t.Error("Cancel of an open wait is true once")
		}
		if _, err := a.Await(); !errors.Is(err, ErrCanceled) {
			t.Errorf("a cancelled wait ends with %v", err)
		}
		return b.Await()
	}), "O")
	expect(t, h.start(""), "#0 timer +1h0m1s", "#0 cancel")
	expect(t, h.episode(event("e", "1")), "#1 Completed 1")
}

func TestUnreadableEventFailsItsWait(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		_, err := WaitForExternalEvent[int](ctx, "e").Await()
		if err == nil {
			t.Error("a text was read as int")
		}
		return WaitForExternalEvent[string](ctx, "e").Await()
	}), "O")
	h.start("")
	expect(t, h.episode(event("e", `"x"`), event("e", `"y"`)), `#0 Completed "y"`)
}

// A wait that lost a WhenAny and is not looked at again is dead; one that is
// looked at again has its old place.
func TestLosersOfWhenAny(t *testing.T) {
	t.Run("a new wait each round gets the event", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			for {
				e, tick := WaitForExternalEvent[int](ctx, "e"), CreateTimer(ctx, time.Second)
				if i, err := WhenAny(ctx, e, tick).Await(); err != nil || i == 0 {
					return e.Await()
				}
			}
		}), "O")
		h.start("")
		h.episode(fired(0))
		h.episode(fired(1))
		expect(t, h.episode(event("e", "4")), "#3 Completed 4")
	})
	t.Run("an event between rounds is not lost", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			e, tick := WaitForExternalEvent[int](ctx, "e"), CreateTimer(ctx, time.Second)
			WhenAny(ctx, e, tick).Await()
			CallActivity[int](ctx, "A", nil).Await()
			return WaitForExternalEvent[int](ctx, "e").Await()
		}), "O")
		h.start("")
		h.episode(fired(0))
		h.episode(event("e", "4"))
		expect(t, h.episode(done(1, "")), "#2 Completed 4")
	})
	t.Run("the same wait can be kept", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]int, error) {
			old := WaitForExternalEvent[int](ctx, "e")
			WhenAny(ctx, old, CreateTimer(ctx, time.Second)).Await()
			young := WaitForExternalEvent[int](ctx, "e")
			if i, _ := WhenAny(ctx, young, old).Await(); i != 1 {
				t.Error("the older wait must get the first event")
			}
			o, _ := old.Await()
			y, err := young.Await()
			return []int{o, y}, err
		}), "O")
		h.start("")
		h.episode(fired(0))
		expect(t, h.episode(event("e", "1")))
		expect(t, h.episode(event("e", "2")), "#1 Completed [1,2]")
	})
	t.Run("a kept wait takes what was buffered meanwhile", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			e := WaitForExternalEvent[int](ctx, "e", WithTimeout(time.Hour))
			WhenAny(ctx, CreateTimer(ctx, time.Second), e).Await()
			CallActivity[int](ctx, "A", nil).Await()
			return e.Await()
		}), "O")
		expect(t, h.start(""), "#0 timer +1h0m1s", "#1 timer +2s")
		expect(t, h.episode(fired(1), event("e", "3")), "#2 activity A()")
		expect(t, h.episode(done(2, "")), "#0 cancel", "#3 Completed 3")
	})
	t.Run("through a combination inside", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			a, b := WaitForExternalEvent[int](ctx, "e"), WaitForExternalEvent[int](ctx, "f")
			WhenAny(ctx, WhenAll(ctx, a, b), CreateTimer(ctx, time.Second)).Await()
			return WaitForExternalEvent[int](ctx, "e").Await()
		}), "O")
		h.start("")
		h.episode(fired(0))
		expect(t, h.episode(event("e", "1")), "#1 Completed 1")
	})
	t.Run("a wait that another combination wants stays alive", func(t *testing.T) {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			e := WaitForExternalEvent[int](ctx, "e")
			all := WhenAll(ctx, e, WaitForExternalEvent[int](ctx, "f"))
			WhenAny(ctx, e, CreateTimer(ctx, time.Second)).Await()
			second := WaitForExternalEvent[int](ctx, "e")
			v, err := all.Await()
			s, _ := second.Await()
			return v[0]*100 + v[1]*10 + s, err
		}), "O")
		h.start("")
		h.episode(fired(0))
		h.episode(event("e", "1"))
		h.episode(event("f", "2"))
		expect(t, h.episode(event("e", "3")), "#1 Completed 123")
	})
}
