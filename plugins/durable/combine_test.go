package durable

import (
	"errors"
	"slices"
	"testing"
)

func TestWhenAll(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]int, error) {
		none, err := WhenAll[int](ctx).Await()
		if none == nil || len(none) != 0 || err != nil {
			t.Errorf("WhenAll of nothing: %v, %v", none, err)
		}
		var tasks []Task[int]
		for i := range 3 {
			tasks = append(tasks, CallActivity[int](ctx, "A", i))
		}
		all := WhenAll(ctx, tasks...)
		if all.Done() {
			t.Error("done at once")
		}
		return all.Await()
	}), "O")
	expect(t, h.start(""), "#0 activity A(0)", "#1 activity A(1)", "#2 activity A(2)")
	expect(t, h.episode(done(2, "30")))
	expect(t, h.episode(done(0, "10"), done(1, "20")), "#3 Completed [10,20,30]")
}

func TestWhenAllWaitsForAllAndKeepsAllErrors(t *testing.T) {
	var results []int
	var err1, err2 error
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		results, err2 = WhenAll(ctx, CallActivity[int](ctx, "A", nil), CallActivity[int](ctx, "B", nil), CallActivity[int](ctx, "C", nil)).Await()
		_, err1 = WhenAll(ctx, CallActivity[int](ctx, "D", nil)).Await()
		return 0, nil
	}), "O")
	h.start("")
	expect(t, h.episode(boom(2)))
	expect(t, h.episode(boom(0)))
	expect(t, h.episode(done(1, "5")), "#3 activity D()")
	expect(t, h.episode(boom(3)), "#4 Completed 0")
	if !slices.Equal(results, []int{0, 5, 0}) {
		t.Errorf("results are %v", results)
	}
	joined := err2.(interface{ Unwrap() []error }).Unwrap()
	if len(joined) != 2 || nameOf(joined[0]) != "A" || nameOf(joined[1]) != "C" {
		t.Errorf("error is %v", err2)
	}
	if nameOf(err1) != "D" {
		t.Errorf("a single failure comes as it is: %v", err1)
	}
}

// nameOf is the function whose failure err is.
func nameOf(err error) string {
	if tf, ok := errors.AsType[*TaskFailedError](err); ok {
		return tf.TaskName
	}
	return ""
}

func TestWhenAny(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]int, error) {
		a, b, c := CallActivity[int](ctx, "A", nil), CallActivity[int](ctx, "B", nil), CallActivity[int](ctx, "C", nil)
		i, err := WhenAny(ctx, a, b, c).Await()
		if err != nil {
			t.Error(err)
		}
		if _, err := b.Await(); i == 1 && err == nil {
			t.Error("b failed")
		}
		c.Await()
		a.Await()
		j, _ := WhenAny(ctx, a, b, c).Await() // all are finished: the earliest in history
		k, _ := WhenAny(ctx, a, a).Await()
		return []int{i, j, k}, err
	}), "O")
	h.start("")
	expect(t, h.episode(boom(1), done(0, "1")))
	expect(t, h.episode(done(2, "1")), "#3 Completed [1,1,0]")
}

func TestTasksOfAnotherOrchestrationAreRefused(t *testing.T) {
	var leaked Task[int]
	app := NewApp("test")
	Orchestrator(app, "Leak", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		leaked = CallActivity[int](ctx, "A", nil)
		return leaked.Await()
	})
	Orchestrator(app, "Use", func(ctx *OrchestrationContext, _ struct{}) (bool, error) {
		_, err1 := WhenAll(ctx, leaked).Await()
		_, err2 := leaked.Await()
		return errors.Is(err1, ErrInvalidArgument) && errors.Is(err2, ErrOutsideOrchestrator), nil
	})
	newTestHost(t, app, "Leak").start("")
	expect(t, newTestHost(t, app, "Use").start(""), "#0 Completed true")
	if _, err := leaked.Await(); !errors.Is(err, ErrOutsideOrchestrator) {
		t.Errorf("await between episodes: %v", err)
	}
}

func TestForeignGoroutinesAreRefused(t *testing.T) {
	var ctxLeaked *OrchestrationContext
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (bool, error) {
		ctxLeaked = ctx
		task := CallActivity[int](ctx, "A", nil)
		errs := make(chan error, 3)
		go func() {
			_, err := task.Await()
			errs <- err
			_, err = CallActivity[int](ctx, "B", nil).Await()
			errs <- err
			errs <- ctx.SetCustomStatus(1)
		}()
		for range 3 {
			if err := <-errs; !errors.Is(err, ErrOutsideOrchestrator) {
				t.Errorf("a foreign goroutine got %v", err)
			}
		}
		_, err := task.Await()
		return true, err
	}), "O")
	expect(t, h.start(""), "#0 activity A()")
	expect(t, h.episode(done(0, "1")), "#1 Completed true")
	if err := ctxLeaked.SendEvent("x", "e", nil); !errors.Is(err, ErrOutsideOrchestrator) {
		t.Errorf("a context used after the end: %v", err)
	}
}
