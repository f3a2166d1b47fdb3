package durable

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/durafunc/durafunc/taskhub/history"
)

// step is one instruction of a random program.
type step struct {
	op   string
	name string
	n    int
}

// interpret runs a random program. Everything it does with tasks goes into its
// output, so that a difference in an outcome shows as well as one in an action.
func interpret(program []step) func(*OrchestrationContext, struct{}) ([]string, error) {
	return func(ctx *OrchestrationContext, _ struct{}) ([]string, error) {
		var out []string
		var tasks []Task[int]
		var timers []Task[struct{}]
		say := func(what string, v any, err error) { out = append(out, fmt.Sprint(what, v, errors.Unwrap(err))) }
		pick := func(n int) Task[int] { return tasks[n%len(tasks)] }
		for _, s := range program {
			switch s.op {
			case "activity":
				tasks = append(tasks, CallActivity[int](ctx, s.name, s.n))
			case "retry":
				tasks = append(tasks, CallActivity[int](ctx, s.name, s.n, WithRetry(RetryPolicy{
					FirstRetryInterval: time.Second, MaxNumberOfAttempts: 1 + s.n%3, BackoffCoefficient: 2})))
			case "child":
				tasks = append(tasks, CallSubOrchestrator[int](ctx, s.name, s.n))
			case "timer":
				timers = append(timers, CreateTimer(ctx, time.Duration(s.n)*time.Second))
			case "event":
				tasks = append(tasks, WaitForExternalEvent[int](ctx, s.name))
			case "event with timeout":
				tasks = append(tasks, WaitForExternalEvent[int](ctx, s.name, WithTimeout(time.Duration(s.n)*time.Second)))
			case "send":
				say("send ", s.name, ctx.SendEvent("other", s.name, s.n))
			case "start":
				id, err := StartNewOrchestration(ctx, s.name, s.n)
				say("start ", id, err)
			case "status":
				say("status ", s.n, ctx.SetCustomStatus(s.n))
			case "guid":
				say("guid ", ctx.NewGUID(), nil)
			}
			if len(tasks) == 0 {
				continue
			}
			switch s.op {
			case "await":
				v, err := pick(s.n).Await()
				say("await ", v, err)
			case "cancel":
				say("cancel ", pick(s.n).Cancel(), nil)
			case "all":
				v, err := WhenAll(ctx, pick(s.n), pick(s.n+1)).Await()
				say("all ", v, err)
			case "any":
				i, err := WhenAny(ctx, pick(s.n), pick(s.n+1), CreateTimer(ctx, time.Minute)).Await()
				say("any ", i, err)
			case "any of all":
				i, err := WhenAny(ctx, WhenAll(ctx, pick(s.n), pick(s.n+1)), pick(s.n+2)).Await()
				say("any of all ", i, err)
			}
			if len(timers) > 0 && s.op == "timer" && s.n%2 == 0 {
				say("cancel timer ", timers[s.n%len(timers)].Cancel(), nil)
			}
		}
		say("now ", ctx.CurrentUTCDateTime(), nil)
		return out, nil
	}
}

// Random programs, driven by random answers in random episodes, answer the same
// parked and replayed from their whole history at every point: testHost compares.
func TestParkedEqualsReplayed(t *testing.T) {
	ops := []string{"activity", "retry", "child", "timer", "event", "event with timeout", "send", "start", "status", "guid",
		"await", "await", "await", "cancel", "all", "any", "any of all"}
	ended := 0
	rapid.Check(t, func(rt *rapid.T) {
		program := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(ops).Draw(rt, "op"), rapid.SampledFrom([]string{"a", "B"}).Draw(rt, "name"), rapid.IntRange(0, 5).Draw(rt, "n")}
		}), 1, 14).Draw(rt, "program")
		h := newTestHost(t, orchestration(interpret(program)), "O")
		open := map[int32]string{}
		var order []int32
		follow := func(actions []*history.OrchestratorAction) bool {
			for _, a := range actions {
				switch v := a.OrchestratorActionType.(type) {
				case *history.OrchestratorAction_ScheduleTask:
					open[a.Id], order = "activity", append(order, a.Id)
				case *history.OrchestratorAction_CreateSubOrchestration:
					open[a.Id], order = "child", append(order, a.Id)
				case *history.OrchestratorAction_CreateTimer:
					open[a.Id], order = "timer", append(order, a.Id)
				case *history.OrchestratorAction_CompleteOrchestration:
					if v.CompleteOrchestration.FailureDetails != nil {
						rt.Fatalf("failed: %v", v)
					}
					ended++
					return true
				}
			}
			return false
		}
		if follow(h.start("").Actions) {
			return
		}
		for range 40 {
			var news []*history.HistoryEvent
			for range rapid.IntRange(1, 3).Draw(rt, "events") {
				if len(order) == 0 || rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
					news = append(news, event(rapid.SampledFrom([]string{"A", "b"}).Draw(rt, "event"), fmt.Sprint(len(h.history))))
					continue
				}
				i := rapid.IntRange(0, len(order)-1).Draw(rt, "which")
				id := order[i]
				order = append(order[:i:i], order[i+1:]...)
				bad := rapid.IntRange(0, 2).Draw(rt, "bad") == 0
				switch kind := open[id]; {
				case kind == "timer":
					news = append(news, fired(id)) // also when it was cancelled: it was on its way
				case kind == "activity" && bad:
					news = append(news, boom(id))
				case kind == "activity":
					news = append(news, done(id, fmt.Sprint(id)))
				case bad:
					news = append(news, childFailed(id, "bad"))
				default:
					news = append(news, childDone(id, fmt.Sprint(id)))
				}
			}
			if follow(h.episode(news...).Actions) {
				return
			}
		}
	})
	if ended == 0 {
		t.Error("no random program ever ended")
	}
}
