package core_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

func TestTimerFiresAtItsTimeAndNotBefore(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Sleep"] = func(f *flow) (string, *history.TaskFailureDetails) {
			at := time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)
			f.must(f.timer(at))
			if f.now.Before(at) {
				return "early", nil
			}
			return "rested", nil
		}
		_ = r.start("a", "Sleep", "null")
		due := time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC).UnixNano()
		if next := r.nodes[0].core.NextTimer(); next != due {
			r.Errorf("next timer %d, want %d", next, due)
		}
		r.advance(59 * time.Minute)
		r.wants("a", history.Running, "")
		r.advance(time.Minute)
		r.wants("a", history.Completed, "rested")
		if next := r.nodes[0].core.NextTimer(); next != 0 {
			r.Errorf("a timer is left, due at %d", next)
		}
	})
}

func TestTimerInThePastFiresAtOnce(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		for name, at := range map[string]time.Time{"a": {}, "b": time.Unix(0, 0), "c": time.Unix(1, 0), "d": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)} {
			r.flows[name] = func(f *flow) (string, *history.TaskFailureDetails) { return f.must(f.timer(at)) + "rested", nil }
			_ = r.start(name, name, "null")
			r.wants(name, history.Completed, "rested")
		}
	})
}

// Some use a date beyond all others for "never".
func TestTimerBeyondTheRangeOfNanosecondsDoesNotFire(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		for name, at := range map[string]time.Time{
			"a": time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), "b": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			"c": time.Unix(0, math.MaxInt64),
		} {
			r.flows[name] = func(f *flow) (string, *history.TaskFailureDetails) {
				timer, done := f.timer(at), f.call("Hold", "1")
				if f.any(timer, done) == timer {
					return "the end of time", nil
				}
				return "in time", nil
			}
			_ = r.start(name, name, "null")
			r.advance(24 * time.Hour)
			r.wants(name, history.Running, "")
		}
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		r.wants("b", history.Completed, "in time")
	})
}

func TestCancelledTimerDoesNotFire(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Race"] = func(f *flow) (string, *history.TaskFailureDetails) {
			timer := f.timer(time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC))
			if f.any(timer, f.call("Hold", "1")) != timer {
				f.cancel(timer)
			}
			f.event("end")
			return fmt.Sprint(len(f.order)), nil
		}
		_ = r.start("a", "Race", "null")
		r.finish("Hold", func(a *work.Item) *work.Result { return returns(a.Activity.Input) })
		if next := r.nodes[0].core.NextTimer(); next != 0 {
			r.Errorf("a cancelled timer is due at %d", next)
		}
		r.advance(2 * time.Hour)
		_ = r.raise("a", "end", "1")
		r.wants("a", history.Completed, "1")
	})
}

// A cancel that comes too late finds nothing to cancel.
func TestCancelOfATimerThatFired(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Late"] = func(f *flow) (string, *history.TaskFailureDetails) {
			timer := f.timer(f.now)
			f.must(timer)
			f.cancel(timer)
			f.cancel(4711) // never was one
			return f.must(f.call("Echo", "1")), nil
		}
		_ = r.start("a", "Late", "null")
		r.wants("a", history.Completed, "1")
	})
}

func TestOpenTimersGoWithTheirInstance(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Leave"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.timer(f.now.Add(time.Hour))
			return f.event("go"), nil
		}
		_ = r.start("a", "Leave", "null")
		_ = r.raise("a", "go", "done")
		r.wants("a", history.Completed, "done") // at once (F§14 D2)
		if next := r.nodes[0].core.NextTimer(); next != 0 {
			r.Errorf("a timer is left, due at %d", next)
		}
		r.advance(2 * time.Hour)
		r.wants("a", history.Completed, "done")
	})
}

// Timers of two executions may have one number, and even one time.
func TestTimersOfAnEarlierExecution(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		at := time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)
		r.flows["Again"] = func(f *flow) (string, *history.TaskFailureDetails) {
			switch f.input {
			case "same":
				f.timer(at)
				f.event("go")
				f.continueAsNew("later", true)
			case "later":
				f.timer(at)
				f.event("go")
				f.continueAsNew("last", true)
			}
			timer := f.timer(at.Add(time.Hour))
			f.must(timer)
			return f.now.Format(time.TimeOnly), nil
		}
		_ = r.start("a", "Again", "same")
		_ = r.raise("a", "go", "1")
		_ = r.raise("a", "go", "2")
		r.advance(time.Hour + time.Minute)
		r.wants("a", history.Running, "")
		if n := len(r.events("a")); n != 4 {
			r.Errorf("a timer of an earlier execution fired: %v", sigs(r.events("a")))
		}
		r.advance(time.Hour)
		if row := r.row("a"); row.Status != history.Completed || row.GetOutput() < "02:00:00" || row.GetOutput() > "02:02:00" {
			r.Errorf("%s %s", history.StatusName(row.Status), row.GetOutput())
		}
		// What it says of the time differs by the rig's microseconds, which are not compared.
		_ = r.purge("a")
	})
}

// Midnight: thousands are due at once, and fire in portions (E§C11).
func TestManyTimersAtOnce(t *testing.T) {
	r := newRig(t, modes[0], 1)
	const all = 5000
	at := time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)
	r.flows["Sleep"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.must(f.timer(at)) + "rested", nil }
	for n := range all {
		r.post("x", starting(fmt.Sprint("i", n), "Sleep", "null"))
	}
	r.run()
	c := r.nodes[0].core
	r.now = at.UnixNano()
	for portions := 1; ; portions++ {
		c.Tick(r.now)
		episodes := c.TakeEpisodes(r.now)
		if len(episodes) > 2000 {
			t.Errorf("%d timers fired in one step", len(episodes))
		}
		for _, e := range episodes {
			c.Done(r.now, r.nodes[0].episode(e))
		}
		r.nodes[0].commit()
		if c.NextTimer() == 0 {
			if portions != 3 {
				t.Errorf("%d portions", portions)
			}
			break
		}
	}
	r.run()
	done := 0
	err := core.Each(r.nodes[0].db, 0, func(v *core.View) (bool, error) {
		if v.Row.Status == history.Completed && v.Row.GetOutput() == "rested" {
			done++
		}
		return true, nil
	})
	if err != nil || done != all {
		t.Errorf("%d of %d completed, %v", done, all, err)
	}
}

// Most timers are time-outs that are cancelled: they must not pile up.
func TestCancelledTimersAreForgotten(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Timeouts"] = func(f *flow) (string, *history.TaskFailureDetails) {
		far := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		first := f.timer(far.Add(-time.Hour))
		for n := range 300 {
			timer := f.timer(far.Add(time.Duration(n) * time.Second))
			f.must(f.call("Echo", "1"))
			f.cancel(timer)
		}
		f.must(first)
		return fmt.Sprint(len(f.order)), nil
	}
	_ = r.start("a", "Timeouts", "null")
	r.advance(365 * 24 * time.Hour)
	r.wants("a", history.Completed, "301")
	if next := r.nodes[0].core.NextTimer(); next != 0 {
		t.Errorf("a timer is left, due at %d", next)
	}
}

func TestInstanceTimeNeverRunsBackwards(t *testing.T) {
	r := newRig(t, modes[0], 1)
	var seen []time.Time
	r.flows["Clock"] = func(f *flow) (string, *history.TaskFailureDetails) {
		for range 3 {
			f.event("tick")
			seen = append(seen, f.now)
		}
		return "", nil
	}
	_ = r.start("a", "Clock", "null")
	_ = r.raise("a", "tick", "1")
	before := r.now
	r.now -= int64(time.Hour) // the next owner's clock is behind
	r.nodes[0].boot()
	_ = r.raise("a", "tick", "2")
	if got := seen[len(seen)-1].UnixNano(); got < before-int64(time.Second) {
		t.Errorf("time went back to %v", seen)
	}
	r.audit()
}

func TestScheduledStart(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		r.flows["Wait"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.event("e"), nil }
		at := r.now + int64(time.Hour)
		later := func(s *core.Start) { s.StartAt = at }
		_ = r.start("a", "Chain", "null", later)
		_ = r.start("b", "Chain", "null", later)
		_ = r.start("c", "Wait", "null", later)
		_ = r.start("d", "Chain", "null", later)
		if err := r.raise("c", "e", "early"); err != nil {
			r.Error(err)
		}
		_ = r.terminate("b", "not needed", false)
		_ = r.suspend("d")
		r.advance(59 * time.Minute)
		r.wants("a", history.Pending, "")
		r.wants("c", history.Pending, "")
		r.advance(2 * time.Minute)
		r.wants("a", history.Completed, "0 1 2")
		r.wants("b", history.Terminated, `"not needed"`)
		r.wants("c", history.Completed, "early")
		r.wants("d", history.Suspended, "")
		if err := r.resume("d"); err != nil {
			r.Error(err)
		}
		r.wants("d", history.Completed, "0 1 2")
		if s := r.events("a")[1].GetExecutionStarted().ScheduledStartTimestamp; s.AsTime().UnixNano() != at {
			r.Errorf("scheduled start %v", s)
		}
	})
}

// What the owner before has fired stays fired, also if its clock was ahead of this one's.
func TestScheduledStartUnderAClockThatWasAhead(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Chain"] = chain
	at := r.now + int64(time.Hour)
	_ = r.start("a", "Chain", "null", func(s *core.Start) { s.StartAt = at })
	n := r.nodes[0]
	n.core.Tick(at)
	n.commit()
	n.boot() // before an episode began, and an hour earlier
	r.run()
	r.wants("a", history.Completed, "0 1 2")
}

func TestResumeBeforeAScheduledStartKeepsWaiting(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		at := r.now + int64(time.Hour)
		_ = r.start("a", "Chain", "null", func(s *core.Start) { s.StartAt = at })
		_ = r.suspend("a")
		_ = r.resume("a")
		r.wants("a", history.Pending, "")
		r.advance(2 * time.Hour)
		r.wants("a", history.Completed, "0 1 2")
	})
}

func TestStartInThePastStartsNow(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		_ = r.start("a", "Chain", "null", func(s *core.Start) { s.StartAt = 1 })
		r.wants("a", history.Completed, "0 1 2")
	})
}

// History of a time-out that was not needed, undisturbed.
func TestHistoryOfATimeout(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Race"] = func(f *flow) (string, *history.TaskFailureDetails) {
		timer := f.timer(f.now.Add(time.Hour))
		task := f.call("Echo", "1")
		f.any(timer, task)
		f.cancel(timer)
		second := f.timer(f.now.Add(time.Minute))
		f.must(second)
		return "done", nil
	}
	_ = r.start("a", "Race", "null")
	r.advance(2 * time.Hour)
	want := []string{
		"OrchestratorStarted", "ExecutionStarted", "TimerCreated#0", "TaskScheduled#1 Echo", "OrchestratorCompleted",
		"OrchestratorStarted", "TaskCompleted(1)", "TimerCreated#2", "OrchestratorCompleted",
		"OrchestratorStarted", "TimerFired(2)", "ExecutionCompleted#3 Completed",
	}
	if got := sigs(r.events("a")); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
