package core_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

func TestSuspendHoldsEverythingAndResumeLetsItGo(t *testing.T) {
	everyMode(t, 2, func(r *rig) {
		r.flows["Busy"] = func(f *flow) (string, *history.TaskFailureDetails) {
			tasks := []int32{f.call("Hold", `"activity"`), f.timer(time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)), f.child("Child", "p1.child", "1")}
			event := f.event("e")
			for _, task := range tasks {
				f.must(task)
			}
			return event, nil
		}
		r.flows["Child"] = collect("e", 1)
		_ = r.start("p0.a", "Busy", "null")
		if err := r.suspend("p0.a"); err != nil {
			r.Error(err)
		}
		if reason := r.row("p0.a").Suspended; reason != "hold on" {
			r.Errorf("reason %q", reason)
		}
		before := r.row("p0.a").Position
		r.advance(2 * time.Hour)
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		_ = r.raise("p1.child", "e", "1")
		_ = r.raise("p0.a", "e", "done")
		r.wants("p1.child", history.Completed, "1")
		r.wants("p0.a", history.Suspended, "")
		if got := r.row("p0.a").Position; got != before {
			r.Errorf("a suspended instance made %d events of history", got-before)
		}
		if err := r.resume("p0.a"); err != nil {
			r.Error(err)
		}
		r.wants("p0.a", history.Completed, "done")
		var held []string
		for _, e := range r.events("p0.a") {
			switch k := e.EventType.(type) {
			case *history.HistoryEvent_ExecutionSuspended:
				held = append(held, "suspended "+k.ExecutionSuspended.Input.GetValue())
			case *history.HistoryEvent_ExecutionResumed:
				held = append(held, "resumed "+k.ExecutionResumed.Input.GetValue())
			}
		}
		if !slices.Equal(held, []string{"suspended hold on", "resumed go on"}) {
			r.Errorf("history says %v", held)
		}
	})
}

func TestSuspendBeforeTheFirstEpisode(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		r.post("a", starting("a", "Chain", "null"))
		r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, "a", "", reply) })
		r.run()
		r.wants("a", history.Suspended, "")
		_ = r.resume("a")
		r.wants("a", history.Completed, "0 1 2")
	})
}

func TestTerminateWhateverItDoes(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Work"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.timer(f.now.Add(time.Hour))
			return f.must(f.call("Hold", "1")), nil
		}
		_ = r.start("runs", "Work", "null")
		_ = r.start("held", "Work", "null")
		_ = r.suspend("held")
		_ = r.raise("held", "e", "waits in vain")
		for _, id := range []string{"runs", "held"} {
			if err := r.terminate(id, "because", true); err != nil {
				r.Error(err)
			}
			r.wants(id, history.Terminated, `"because"`)
			events := r.events(id)
			if k := events[len(events)-2].GetExecutionTerminated(); k.GetInput().GetValue() != "because" || !k.GetRecurse() {
				r.Errorf("%s: %v", id, sigs(events))
			}
		}
		r.advance(2 * time.Hour)
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		r.wants("runs", history.Terminated, `"because"`)
	})
}

// An episode that was out when its instance ended decides nothing any more.
func TestEpisodeThatIsOvertakenByATermination(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Chain"] = chain
	r.post("a", starting("a", "Chain", "null"))
	n := r.nodes[0]
	n.take()
	e := n.episodes[0]
	n.episodes = nil
	r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Terminate(now, "a", "x", false, reply) })
	n.core.Done(r.now, n.episode(e))
	r.run()
	r.wants("a", history.Terminated, `"x"`)
	if len(n.running) > 0 || slices.ContainsFunc(r.events("a"), func(e *history.HistoryEvent) bool { return e.GetTaskScheduled() != nil }) {
		t.Errorf("it scheduled work: %v", sigs(r.events("a")))
	}
	r.audit()
}

func TestPurgeLeavesNothing(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Work"] = func(f *flow) (string, *history.TaskFailureDetails) {
			for n := range 3 {
				f.must(f.call("Echo", fmt.Sprint(n)))
			}
			return strings.Repeat("x", 2000), nil
		}
		_ = r.start("a", "Work", `"`+strings.Repeat("big", 1000)+`"`)
		_ = r.purge("a")
		if r.row("a") != nil {
			r.Error("it is still there")
		}
		for e, err := range r.nodes[0].db.Scan([]byte{1}, []byte{0xff}) {
			if err != nil {
				r.Fatal(err)
			}
			if e.Key[0] != 'm' {
				r.Errorf("key %q is left", e.Key)
			}
		}
		if err := r.raise("a", "e", "1"); !errors.Is(err, core.ErrNotFound) {
			r.Errorf("raise after purge: %v", err)
		}
	})
}

// The same id again, in the same batch too.
func TestPurgeAndStartAgain(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"], r.flows["Wait"] = chain, collect("e", 1)
		_ = r.start("a", "Chain", "null")
		r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Purge(now, "a", reply) })
		twice := r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Purge(now, "a", reply) })
		r.post("a", starting("a", "Wait", "null"))
		r.run()
		if r.mode.fate == nil && !errors.Is(twice.err, core.ErrNotFound) {
			r.Errorf("the second purge: %v", twice.err)
		}
		r.wants("a", history.Running, "")
		_ = r.raise("a", "e", "second life")
		r.wants("a", history.Completed, "second life")
		if n := len(r.events("a")); n != 6 {
			r.Errorf("history %v", sigs(r.events("a")))
		}
	})
}

func TestStartReplacesAFinishedInstance(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Old"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.child("Wait", "", "1", "FireAndForget")
			return "old", nil
		}
		r.flows["New"], r.flows["Wait"] = parent("", "Echo"), collect("e", 1)
		r.flows["Echo"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.input, nil }
		_ = r.start("a", "Old", `"first"`)
		replaced := false
		err := r.ask("a", starting("a", "New", "7", func(s *core.Start) {
			reply := s.Reply
			s.Reply = func(was bool, err error) { replaced = was; reply(was, err) }
		}))
		if err != nil || r.mode.fate == nil && !replaced {
			r.Errorf("replaced %v, %v", replaced, err)
		}
		// The first life's child "a:0" still runs, and does not stand in the way.
		r.wants("a", history.Completed, "child: 7")
		r.wants("a:0", history.Running, "")
		if row := r.row("a"); row.GetInput() != "7" || row.Name != "New" {
			r.Errorf("row %v", row)
		}
	})
}

// overridableExistingInstanceStates: AnyState.
func TestStartReplacesARunningInstanceIfAllowed(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.change = func(c *core.Config) { c.ReplaceRunning = true }
		r.flows["Parent"] = parent("a", "Work")
		r.flows["Work"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.must(f.call("Hold", "1")), nil }
		r.flows["Chain"] = chain
		_ = r.start("p", "Parent", "null")
		r.wants("a", history.Running, "")
		if err := r.start("a", "Chain", "null"); err != nil {
			r.Error(err)
		}
		r.wants("a", history.Completed, "0 1 2")
		if out := r.row("p").GetOutput(); !strings.HasPrefix(out, "child failed: "+core.ErrorTypeTerminated) {
			r.Errorf("the parent of the replaced one: %s", out)
		}
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		r.wants("a", history.Completed, "0 1 2")
		// A child never takes a running instance's id.
		_ = r.start("a", "Work", "null")
		_ = r.start("q", "Parent", "null")
		if out := r.row("q").GetOutput(); !strings.HasPrefix(out, "child failed: "+core.ErrorTypeInstanceExists) {
			r.Errorf("the other parent: %s", out)
		}
	})
}

// F§14 O2: held with its reason, and healed when the right code is back, be that
// before or after a restart.
func TestNonDeterminismIsHeldUntilTheCodeFits(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 2)
		_ = r.start("a", "Collect", "null")
		before := sigs(r.events("a"))
		r.broken["Collect"] = true
		_ = r.raise("a", "e", "1")
		row := r.row("a")
		if row.Status != history.Suspended || !row.NonDeterministic || row.Suspended != "code does not fit" {
			r.Errorf("%s, %v, %q", history.StatusName(row.Status), row.NonDeterministic, row.Suspended)
		}
		if got := sigs(r.events("a")); !slices.Equal(got, before) {
			r.Errorf("the failed replay changed history to %v", got)
		}
		_ = r.raise("a", "e", "2")
		reconsider := func(c *core.Core, now int64, reply func(error)) {
			c.Reconsider(now)
			c.Flush(func() { reply(nil) })
		}
		_ = r.ask("a", reconsider) // still the wrong code
		r.wants("a", history.Suspended, "")
		r.broken["Collect"] = false
		_ = r.ask("a", reconsider)
		r.wants("a", history.Completed, "1 2")
		if r.row("a").NonDeterministic {
			r.Error("still marked")
		}
	})
}

// The old code may be put back while no host runs.
func TestReconsiderAfterARestart(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 1)
	_ = r.start("a", "Collect", "null")
	_ = r.start("held", "Collect", "null")
	_ = r.suspend("held")
	_ = r.raise("held", "e", "1")
	r.broken["Collect"] = true
	_ = r.raise("a", "e", "1")
	r.nodes[0].boot()
	r.broken["Collect"] = false
	r.nodes[0].core.Reconsider(r.now)
	r.run()
	r.wants("a", history.Completed, "1")
	r.wants("held", history.Suspended, "") // by a person, who has not changed her mind
}

// Who suspends an instance is the one to resume it, though its code did not fit at that moment.
func TestReconsiderLeavesWhatWasSuspended(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 2)
	_ = r.start("a", "Collect", "null")
	r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Raise(now, "a", "e", new("1"), reply) })
	if !r.nodes[0].take() {
		t.Fatal("no episode is out")
	}
	r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, "a", "for a while", reply) })
	r.broken["Collect"] = true
	r.run()
	r.broken["Collect"] = false
	_ = r.ask("a", func(c *core.Core, now int64, reply func(error)) {
		c.Reconsider(now)
		c.Flush(func() { reply(nil) })
	})
	if row := r.row("a"); row.Status != history.Suspended || row.Suspended != "for a while" {
		t.Errorf("it is %s: %q", history.StatusName(row.Status), row.Suspended)
	}
	_ = r.raise("a", "e", "2")
	_ = r.resume("a")
	r.wants("a", history.Completed, "1 2")
}

func TestNonDeterminismCanFailTheInstance(t *testing.T) {
	everyMode(t, 2, func(r *rig) {
		r.change = func(c *core.Config) { c.FailNonDeterminism = true }
		r.flows["Parent"], r.flows["Collect"] = parent("p1.child", "Collect"), collect("e", 1)
		_ = r.start("p0.a", "Parent", "null")
		r.broken["Collect"] = true
		_ = r.raise("p1.child", "e", "1")
		r.wants("p1.child", history.Failed, "NonDeterministic: code does not fit")
		r.wants("p0.a", history.Completed, "child failed: NonDeterministic: code does not fit")
	})
}

func TestCustomStatus(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Show"] = func(f *flow) (string, *history.TaskFailureDetails) {
			for _, status := range []string{`"one"`, "", "null", `{"three":3}`} {
				if status != "" {
					f.status = &status
				}
				f.event("next")
				f.status = nil
			}
			return "", nil
		}
		want := []string{`"one"`, `"one"`, "-", `{"three":3}`, `{"three":3}`}
		_ = r.start("a", "Show", "null")
		for n := range want {
			if got := show(r.row("a").CustomStatus); got != want[n] {
				r.Errorf("step %d: status %s, want %s", n, got, want[n])
			}
			if n < len(want)-1 {
				_ = r.raise("a", "next", "1")
			}
		}
		r.wants("a", history.Completed, "")
	})
}

func TestWaiters(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 1)
	wait := func(id string) (*core.Waiter, *[]error) {
		var answers []error
		w := &core.Waiter{Done: func(err error) { answers = append(answers, err) }}
		r.nodes[0].core.Wait(id, w)
		return w, &answers
	}
	for _, id := range []string{"a", "b", "c"} {
		_ = r.start(id, "Collect", "null")
	}
	_, first := wait("a")
	_, second := wait("a")
	gone, third := wait("a")
	r.nodes[0].core.Unwait("a", gone)
	_, nobody := wait("nobody")
	r.run()
	if len(*first)+len(*second) > 0 || len(*nobody) != 1 || !errors.Is((*nobody)[0], core.ErrNotFound) {
		t.Errorf("before the end: %v, %v; nobody: %v", *first, *second, *nobody)
	}
	// The end is reported after its commit, not before.
	data := "1"
	r.post("a", func(c *core.Core, now int64, reply func(error)) { c.Raise(now, "a", "e", &data, reply) })
	n := r.nodes[0]
	for n.take() || n.work() {
		r.now++
	}
	if len(*first) > 0 {
		t.Error("told before the commit")
	}
	r.run()
	for _, got := range []*[]error{first, second} {
		if len(*got) != 1 || (*got)[0] != nil {
			t.Errorf("answers %v", *got)
		}
	}
	if len(*third) > 0 {
		t.Error("one that gave up was told")
	}
	_, late := wait("a")
	_, ended := wait("b")
	r.run()
	if len(*late) != 1 || (*late)[0] != nil {
		t.Errorf("waiting for one that has ended: %v", *late)
	}
	_ = r.terminate("b", "x", false)
	if len(*ended) != 1 || (*ended)[0] != nil {
		t.Errorf("waiting for one that is terminated: %v", *ended)
	}
	// Nobody is left waiting over many executions, or a small cache.
	_, still := wait("c")
	_ = r.raise("c", "e", "1")
	if len(*still) != 1 {
		t.Errorf("answers %v", *still)
	}
}

func TestFlushFollowsWhatWasDoneBefore(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Chain"] = chain
	var order []string
	r.boot()
	c := r.nodes[0].core
	input := "1"
	c.Start(r.now, &core.Start{ID: "a", Name: "Chain", Input: &input, Execution: "x", Reply: func(bool, error) { order = append(order, "start") }})
	c.Flush(func() { order = append(order, "flush") })
	r.run()
	if !slices.Equal(order, []string{"start", "flush"}) {
		t.Errorf("order %v", order)
	}
	// With nothing to commit it does not wait for any.
	c.Flush(func() { order = append(order, "again") })
	if !c.Waiting() || c.Pending() {
		t.Error("a flush alone asks for a commit")
	}
	r.run()
	if len(order) != 3 {
		t.Errorf("order %v", order)
	}
}

func TestCheckInstanceID(t *testing.T) {
	for _, good := range []string{"a", "Ünï-日本", strings.Repeat("x", 256), strings.Repeat("ü", 200), "a b.c:d_e@f"} {
		if err := core.CheckInstanceID(good); err != nil {
			t.Errorf("%.20q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "@a", "a/b", `a\b`, "a#b", "a?b", "a\nb", "a\x00", "\x7f", "\xff\xfe", strings.Repeat("x", 257), strings.Repeat("ü", 257)} {
		if err := core.CheckInstanceID(bad); !errors.Is(err, core.ErrInvalidArgument) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
