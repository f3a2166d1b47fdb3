package core_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// collect waits for n events of a name and joins them.
func collect(name string, n int) orchestrator {
	return func(f *flow) (string, *history.TaskFailureDetails) {
		var got []string
		for range n {
			got = append(got, f.event(name))
		}
		return strings.Join(got, " "), nil
	}
}

func TestEventsArriveInOrder(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 5)
		_ = r.start("a", "Collect", "null")
		for n := range 5 {
			if err := r.raise("a", "E", fmt.Sprint(n)); err != nil {
				r.Error(err)
			}
		}
		r.wants("a", history.Completed, "0 1 2 3 4")
	})
}

// Events that arrive with the start, before any episode, follow it (F§1.9 E9).
func TestEventsBeforeTheFirstEpisode(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 2)
		r.post("a", starting("a", "Collect", "null"))
		for n := range 2 {
			data := fmt.Sprint(n)
			r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Raise(now, "a", "e", &data, reply) })
		}
		r.run()
		r.wants("a", history.Completed, "0 1")
	})
}

func TestEventWithoutData(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 1)
	_ = r.start("a", "Collect", "null")
	_ = r.ask("a", func(c *core.Core, now int64, reply func(error)) { c.Raise(now, "a", "e", nil, reply) })
	r.wants("a", history.Completed, "")
	for _, e := range r.events("a") {
		if k := e.GetEventRaised(); k != nil && (k.Name != "e" || k.Input != nil) {
			t.Errorf("event %v", k)
		}
	}
}

func TestEventsWhileSuspended(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 4)
		_ = r.start("a", "Collect", "null")
		_ = r.raise("a", "e", "0")
		_ = r.suspend("a")
		_ = r.raise("a", "e", "1")
		_ = r.raise("a", "other", "x")
		_ = r.raise("a", "e", "2")
		r.wants("a", history.Suspended, "")
		_ = r.resume("a")
		_ = r.raise("a", "e", "3")
		r.wants("a", history.Completed, "0 1 2 3")
	})
}

func TestRequestsToInstancesThatCannotTakeThem(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"], r.flows["Wait"] = chain, collect("never", 1)
		_ = r.start("done", "Chain", "null")
		_ = r.start("ended", "Wait", "null")
		_ = r.terminate("ended", "x", false)
		_ = r.start("held", "Wait", "null")
		_ = r.suspend("held")
		_ = r.start("runs", "Wait", "null")
		for _, tt := range []struct {
			what string
			err  error
			want error
		}{
			{"raise to nobody", r.raise("nobody", "e", "1"), core.ErrNotFound},
			{"raise to a completed one", r.raise("done", "e", "1"), core.ErrTerminal},
			{"raise to a terminated one", r.raise("ended", "e", "1"), core.ErrTerminal},
			{"terminate nobody", r.terminate("nobody", "x", true), core.ErrNotFound},
			{"terminate a completed one", r.terminate("done", "x", true), core.ErrTerminal},
			{"suspend nobody", r.suspend("nobody"), core.ErrNotFound},
			{"suspend a completed one", r.suspend("done"), core.ErrTerminal},
			{"suspend a suspended one", r.suspend("held"), core.ErrInvalidState},
			{"resume nobody", r.resume("nobody"), core.ErrNotFound},
			{"resume a completed one", r.resume("done"), core.ErrTerminal},
			{"resume one that runs", r.resume("runs"), core.ErrInvalidState},
			{"purge nobody", r.purge("nobody"), core.ErrNotFound},
			{"purge one that runs", r.purge("runs"), core.ErrInvalidState},
			{"purge a suspended one", r.purge("held"), core.ErrInvalidState},
			{"start one that runs", r.start("runs", "Chain", "null"), core.ErrInstanceExists},
			{"start a suspended one", r.start("held", "Chain", "null"), core.ErrInstanceExists},
		} {
			if !errors.Is(tt.err, tt.want) || !strings.Contains(tt.err.Error(), `"`) {
				r.Errorf("%s: %v, want %v with the instance's id", tt.what, tt.err, tt.want)
			}
		}
		r.wants("done", history.Completed, "0 1 2")
		if r.nodes[0].core.Pending() {
			r.Error("a refused request changed something")
		}
	})
}

func TestEventsBetweenInstances(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Talk"] = func(f *flow) (string, *history.TaskFailureDetails) {
			for n := range 5 {
				f.send(f.input, "hi", fmt.Sprint(n))
			}
			f.send("nobody", "hi", "lost")
			f.send(f.instance, "self", "me")
			return f.event("self"), nil
		}
		r.flows["Listen"] = collect("hi", 5)
		_ = r.start(id, "Listen", "null")
		_ = r.start("p0.a", "Talk", id)
		r.wants("p0.a", history.Completed, "me")
		r.wants(id, history.Completed, "0 1 2 3 4")
	})
}

func TestContinueAsNewKeepsWhatItShould(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Count"] = func(f *flow) (string, *history.TaskFailureDetails) {
			n, _ := strconv.Atoi(f.input)
			status := fmt.Sprint("round ", n)
			f.status = &status
			f.must(f.call("Echo", "1"))
			if n < 20 {
				f.continueAsNew(fmt.Sprint(n+1), true)
			}
			return f.input, nil
		}
		_ = r.start("a", "Count", "0", func(s *core.Start) {
			s.Version, s.Tags = "1.2", map[string]string{"k": "v"}
		})
		r.wants("a", history.Completed, "20")
		row := r.row("a")
		if row.Version != "1.2" || row.Tags["k"] != "v" || row.GetInput() != "20" || row.Generation != 20 || row.Execution == core.ExecutionID("test", "a") {
			r.Errorf("row %v", row)
		}
		// History is that of the last execution (F§1.10 N8).
		want := []string{
			"OrchestratorStarted", "ExecutionStarted", "TaskScheduled#0 Echo", "OrchestratorCompleted",
			"OrchestratorStarted", "TaskCompleted(0)", "ExecutionCompleted#1 Completed",
		}
		if got := sigs(r.events("a")); !slices.Equal(got, want) {
			r.Errorf("history %v", got)
		}
		keys := 0
		for _, err := range r.nodes[0].db.Scan([]byte("h"), []byte("i")) {
			if err != nil {
				r.Fatal(err)
			}
			keys++
		}
		if keys > 4 {
			r.Errorf("%d history chunks are kept", keys)
		}
		status := row.GetCustomStatus()
		if status != "round 20" {
			r.Errorf("custom status %q", status)
		}
	})
}

func TestContinueAsNewWithAnotherVersion(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		var versions []string
		r.calls["Version"] = func(a *work.Item) *work.Result {
			versions = append(versions, a.Version)
			return returns(&a.Version)
		}
		r.flows["Up"] = func(f *flow) (string, *history.TaskFailureDetails) {
			out := f.must(f.call("Version", "1"))
			if out == "1" {
				f.actions = append(f.actions, &history.OrchestratorAction{Id: f.next, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{
					CompleteOrchestration: &history.CompleteOrchestrationAction{
						OrchestrationStatus: history.ContinuedAsNew, NewVersion: text("2"), Result: text("x"),
					}}})
				panic(waits{})
			}
			return out, nil
		}
		_ = r.start("a", "Up", "null", func(s *core.Start) { s.Version = "1" })
		r.wants("a", history.Completed, "2")
	})
}

// Dropping unprocessed events is a choice of the orchestrator (F§14 D8); those that it
// has not seen yet are not its to drop.
func TestContinueAsNewThatDropsEvents(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Fresh"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.event("go")
			if f.input == "first" {
				f.continueAsNew("second", false)
			}
			if _, ok := f.poll("e"); ok {
				return "an old event came along", nil
			}
			return "fresh", nil
		}
		_ = r.start("a", "Fresh", "first")
		_ = r.raise("a", "e", "1")
		_ = r.raise("a", "go", "1")
		_ = r.raise("a", "go", "2")
		r.wants("a", history.Completed, "fresh")
	})
}

// Results of the former execution are late, whatever their task number.
func TestContinueAsNewDropsWhatIsOpen(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Again"] = func(f *flow) (string, *history.TaskFailureDetails) {
			task := f.call("Hold", f.input)
			if f.input == "first" {
				f.event("go")
				f.continueAsNew("second", true)
			}
			return f.must(task), nil
		}
		_ = r.start("a", "Again", "first")
		_ = r.raise("a", "go", "1")
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		r.wants("a", history.Completed, "second")
	})
}

// E§C12, 12: events raised = consumed + buffered, over any number of continue-as-new,
// and in the order in which they came.
func TestNoEventIsLostOverContinueAsNew(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, rapid.SampledFrom(modes).Draw(rt, "mode"), 1)
		const names = 3
		var consumed [names][]string
		// Each execution consumes some events and continues as new; an activity between
		// lets more come in while the last episode of an execution is out.
		r.calls["Note"] = func(a *work.Item) *work.Result { return returns(a.Activity.Input) }
		r.flows["Loop"] = func(f *flow) (string, *history.TaskFailureDetails) {
			var state []string
			if f.input != "" {
				state = strings.Split(f.input, ",")
			}
			// What it waits for follows from how much it has had: deterministic.
			for range 1 + len(state)%3 {
				got := f.event(fmt.Sprint("n", len(state)%names))
				state = append(state, got)
				if len(state)%2 == 0 {
					f.must(f.call("Note", got))
				}
			}
			f.continueAsNew(strings.Join(state, ","), true)
			return "", nil
		}
		_ = r.start("a", "Loop", "")
		var raised [names]int
		for range rapid.IntRange(1, 30).Draw(rt, "bursts") {
			for range rapid.IntRange(1, 3).Draw(rt, "events") {
				name := rapid.IntRange(0, names-1).Draw(rt, "name")
				data := fmt.Sprintf("%d.%d", name, raised[name])
				raised[name]++
				r.post("a", func(c *core.Core, now int64, reply func(error)) {
					c.Raise(now, "a", fmt.Sprint("n", name), &data, reply)
				})
			}
			switch rapid.IntRange(0, 3).Draw(rt, "then") {
			case 0: // more at once
			case 1:
				r.nodes[0].step()
			default:
				r.run()
			}
		}
		r.run()
		r.audit()
		row := r.row("a")
		// Consumed by former executions, then by the present one.
		all := []string{}
		if row.GetInput() != "" {
			all = strings.Split(row.GetInput(), ",")
		}
		f := play(r.events("a"), r.flows["Loop"])
		for n, e := range f.raised {
			if f.taken[n] {
				all = append(all, e.GetEventRaised().Input.GetValue())
			}
		}
		for _, got := range all {
			var name int
			_, _ = fmt.Sscanf(got, "%d.", &name)
			consumed[name] = append(consumed[name], got)
		}
		for name := range names {
			buffered := 0
			for n, e := range f.raised {
				if e.GetEventRaised().Name == fmt.Sprint("n", name) && !f.taken[n] {
					want := fmt.Sprintf("%d.%d", name, len(consumed[name])+buffered)
					if got := e.GetEventRaised().Input.GetValue(); got != want {
						rt.Fatalf("%s is buffered where %s belongs", got, want)
					}
					buffered++
				}
			}
			for n, got := range consumed[name] {
				if want := fmt.Sprintf("%d.%d", name, n); got != want {
					rt.Fatalf("consumed %v: %s where %s belongs", consumed[name], got, want)
				}
			}
			if got := len(consumed[name]) + buffered; got != raised[name] {
				rt.Fatalf("mode %q: %d events of n%d raised, %d consumed, %d buffered", r.mode.name, raised[name], name, len(consumed[name]), buffered)
			}
		}
	})
}
