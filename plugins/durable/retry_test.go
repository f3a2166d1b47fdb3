package durable

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
)

// retrying is an orchestrator of one activity with a policy.
func retrying(p RetryPolicy, out *error) *App {
	return orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		n, err := CallActivity[int](ctx, "A", 1, WithRetry(p)).Await()
		if out != nil {
			*out = err
		}
		return n, err
	})
}

func TestRetryUntilSuccess(t *testing.T) {
	h := newTestHost(t, retrying(RetryPolicy{FirstRetryInterval: 10 * time.Second, MaxNumberOfAttempts: 5, BackoffCoefficient: 2,
		MaxRetryInterval: 30 * time.Second}, nil), "O")
	expect(t, h.start(""), "#0 activity A(1)")
	expect(t, h.episode(boom(0)), "#1 timer +12s") // the episode is at +2s
	expect(t, h.episode(fired(1)), "#2 activity A(1)")
	expect(t, h.episode(boom(2)), "#3 timer +24s")
	expect(t, h.episode(fired(3)), "#4 activity A(1)")
	expect(t, h.episode(boom(4)), "#5 timer +36s") // 40 s are capped at 30 s
	expect(t, h.episode(fired(5)), "#6 activity A(1)")
	expect(t, h.episode(done(6, "8")), "#7 Completed 8")
}

func TestRetryGivesUp(t *testing.T) {
	policy := RetryPolicy{FirstRetryInterval: 10 * time.Second, MaxNumberOfAttempts: 9}
	with := func(change func(*RetryPolicy)) RetryPolicy {
		p := policy
		change(&p)
		return p
	}
	temporary := &history.TaskFailureDetails{ErrorType: "T", ErrorMessage: "try again"}
	tests := []struct {
		name    string
		policy  RetryPolicy
		failure *history.TaskFailureDetails
		again   bool
	}{
		{"attempts are left", policy, temporary, true},
		{"one attempt", with(func(p *RetryPolicy) { p.MaxNumberOfAttempts = 1 }), temporary, false},
		{"non-retriable", policy, &history.TaskFailureDetails{ErrorType: "T", ErrorMessage: "no", IsNonRetriable: true}, false},
		{"predicate says no", with(func(p *RetryPolicy) { p.Handle = func(e *TaskFailedError) bool { return e.Failure.Type != "T" } }), temporary, false},
		{"predicate says yes", with(func(p *RetryPolicy) { p.Handle = func(e *TaskFailedError) bool { return e.TaskName == "A" } }), temporary, true},
		{"predicate panics", with(func(p *RetryPolicy) { p.Handle = func(*TaskFailedError) bool { panic(1) } }), temporary, false},
		{"timeout passed", with(func(p *RetryPolicy) { p.RetryTimeout = time.Second }), temporary, false}, // now >= first + 1s
		{"timeout not passed", with(func(p *RetryPolicy) { p.RetryTimeout = time.Second + 1 }), temporary, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			h := newTestHost(t, retrying(tt.policy, &err), "O")
			h.start("")
			res := h.episode(failed(0, tt.failure))
			if tt.again {
				expect(t, res, "#1 timer +12s")
				return
			}
			if tf, ok := errors.AsType[*TaskFailedError](err); !ok || tf.Failure.Message != tt.failure.ErrorMessage {
				t.Errorf("the caller sees %v, want the original failure", err)
			}
		})
	}
}

func TestRetryOfChildren(t *testing.T) {
	p := RetryPolicy{FirstRetryInterval: time.Second, MaxNumberOfAttempts: 2}
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		a := CallSubOrchestrator[int](ctx, "C", 1, WithRetry(p))
		b := CallSubOrchestrator[int](ctx, "C", 2, WithRetry(p), WithInstanceID("fixed"))
		v, err := WhenAll(ctx, a, b).Await()
		return v[0] + v[1], err
	}), "O")
	expect(t, h.start(""), `#0 child C(1) ""`, `#1 child C(2) "fixed"`)
	expect(t, h.episode(childFailed(0, "x"), childFailed(1, "x")), "#2 timer +3s", "#3 timer +3s")
	expect(t, h.episode(fired(2), fired(3)), `#4 child C(1) ""`, `#5 child C(2) "fixed"`)
	expect(t, h.episode(childDone(4, "1"), childDone(5, "2")), "#6 Completed 3")
}

func TestRetryDelay(t *testing.T) {
	for _, tt := range []struct {
		p       RetryPolicy
		attempt int
		want    time.Duration
	}{
		{RetryPolicy{FirstRetryInterval: time.Second}, 1, time.Second},
		{RetryPolicy{FirstRetryInterval: time.Second}, 7, time.Second},
		{RetryPolicy{FirstRetryInterval: time.Second, BackoffCoefficient: 3}, 3, 9 * time.Second},
		{RetryPolicy{FirstRetryInterval: time.Second, BackoffCoefficient: 10}, 400, MaxRetryDelay},
		{RetryPolicy{FirstRetryInterval: time.Hour, MaxRetryInterval: time.Minute}, 1, time.Minute},
	} {
		tt.p.MaxNumberOfAttempts = 1
		p, err := tt.p.normalized()
		if err != nil {
			t.Fatal(err)
		}
		if got := p.delay(tt.attempt); got != tt.want {
			t.Errorf("delay %d of %+v is %s, want %s", tt.attempt, tt.p, got, tt.want)
		}
	}
	if _, err := (RetryPolicy{FirstRetryInterval: 1, MaxNumberOfAttempts: 1, BackoffCoefficient: math.NaN()}).normalized(); err == nil {
		t.Error("NaN is no coefficient")
	}
}
