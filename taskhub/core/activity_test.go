package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// chain calls Echo three times in a row.
func chain(f *flow) (string, *history.TaskFailureDetails) {
	out := []string{}
	for n := range 3 {
		out = append(out, f.must(f.call("Echo", fmt.Sprint(n))))
	}
	return strings.Join(out, " "), nil
}

// fan calls an activity many times at once.
func fan(name string, n int) orchestrator {
	return func(f *flow) (string, *history.TaskFailureDetails) {
		tasks := make([]int32, n)
		for i := range tasks {
			tasks[i] = f.call(name, fmt.Sprint(i))
		}
		var out []string
		for _, task := range tasks {
			out = append(out, f.must(task))
		}
		return strings.Join(out, " "), nil
	}
}

func TestActivitiesInARow(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		if err := r.start("a", "Chain", `"in"`); err != nil {
			r.Fatal(err)
		}
		r.wants("a", history.Completed, "0 1 2")
	})
}

// The sequence of F§4.2, undisturbed.
func TestHistoryOfAChain(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Chain"] = chain
	if err := r.start("a", "Chain", `"in"`); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"OrchestratorStarted", "ExecutionStarted", "TaskScheduled#0 Echo", "OrchestratorCompleted",
		"OrchestratorStarted", "TaskCompleted(0)", "TaskScheduled#1 Echo", "OrchestratorCompleted",
		"OrchestratorStarted", "TaskCompleted(1)", "TaskScheduled#2 Echo", "OrchestratorCompleted",
		"OrchestratorStarted", "TaskCompleted(2)", "ExecutionCompleted#3 Completed",
	}
	events := r.events("a")
	if got := sigs(events); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	started := events[1].GetExecutionStarted()
	if started.Name != "Chain" || started.Input.GetValue() != `"in"` || started.OrchestrationInstance.InstanceId != "a" ||
		started.OrchestrationInstance.ExecutionId.GetValue() != core.ExecutionID("test", "a") || started.ParentInstance != nil {
		t.Errorf("ExecutionStarted %v", started)
	}
	if got := events[5].GetTaskCompleted().Result.GetValue(); got != "0" {
		t.Errorf("first result %s", got)
	}
	if got := events[14].GetExecutionCompleted(); got.Result.GetValue() != "0 1 2" {
		t.Errorf("ExecutionCompleted %v", got)
	}
}

func TestFanOut(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Fan"] = fan("Echo", 40)
		if err := r.start("a", "Fan", "null"); err != nil {
			r.Fatal(err)
		}
		var want []string
		for n := range 40 {
			want = append(want, fmt.Sprint(n))
		}
		r.wants("a", history.Completed, strings.Join(want, " "))
	})
}

func TestActivityFails(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.calls["Fail"] = func(*work.Item) *work.Result {
			return fails(&history.TaskFailureDetails{
				ErrorType: "Oops", ErrorMessage: "no luck", InnerFailure: &history.TaskFailureDetails{ErrorType: "Inner"},
			})
		}
		r.flows["Try"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Fail", "1")) }
		_ = r.start("a", "Try", "null")
		r.wants("a", history.Failed, "Oops: no luck")
		if inner := r.row("a").Failure.InnerFailure.GetErrorType(); inner != "Inner" {
			r.Errorf("inner failure %q", inner)
		}
	})
}

func TestUnknownOrchestratorFails(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		_ = r.start("a", "Nobody", "null")
		r.wants("a", history.Failed, "OrchestratorTaskNotFound: Nobody")
	})
}

// An app that stops hands the work back; that is no failure and no death.
func TestAbandonedActivityIsHandedOutAgain(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		tries := 0
		r.calls["Later"] = func(a *work.Item) *work.Result {
			if tries++; tries < 30 {
				return ends(work.Abandoned)
			}
			return returns(a.Activity.Input)
		}
		r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Later", "7")) }
		_ = r.start("a", "One", "null")
		r.wants("a", history.Completed, "7")
	})
}

func TestAttemptsAreCounted(t *testing.T) {
	r := newRig(t, modes[0], 1)
	var attempts []int
	r.calls["Later"] = func(a *work.Item) *work.Result {
		if attempts = append(attempts, a.Attempt); len(attempts) < 4 {
			return ends([]work.Outcome{work.Abandoned, work.Died, work.Abandoned}[len(attempts)-1])
		}
		return returns(a.Activity.Input)
	}
	r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Later", "7")) }
	_ = r.start("a", "One", "null")
	if !slices.Equal(attempts, []int{1, 2, 3, 4}) {
		t.Errorf("attempts %v", attempts)
	}
}

// F§14 A7: after ten deaths the call fails, and the partition goes on.
func TestActivityThatKillsItsAppIsQuarantined(t *testing.T) {
	for _, limit := range []int{0, 3} {
		r := newRig(t, modes[0], 1)
		r.change = func(c *core.Config) { c.MaxDeaths = limit }
		deaths := 0
		r.calls["Kill"] = func(*work.Item) *work.Result {
			deaths++
			return ends(work.Died)
		}
		r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) {
			_, fail := f.await(f.call("Kill", "7"))
			return fail.ErrorType, nil
		}
		r.flows["Chain"] = chain
		_ = r.start("a", "One", "null")
		_ = r.start("b", "Chain", "null")
		want := limit
		if limit == 0 {
			want = 10
		}
		r.wants("a", history.Completed, core.ErrorTypeQuarantined)
		r.wants("b", history.Completed, "0 1 2")
		if deaths != want {
			t.Errorf("%d deaths, want %d", deaths, want)
		}
		r.audit()
	}
}

// The same for an orchestrator: it is held, and a resume tries again.
func TestOrchestratorThatKillsItsAppIsHeld(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Chain"] = chain
		r.deadly["Chain"] = true
		_ = r.start("a", "Chain", "null")
		row := r.row("a")
		if row.Status != history.Suspended || !strings.Contains(row.Suspended, "quarantined") || !strings.Contains(row.Suspended, "10 times") {
			r.Errorf("%s, %q", history.StatusName(row.Status), row.Suspended)
		}
		r.deadly["Chain"] = false
		if err := r.resume("a"); err != nil {
			r.Error(err)
		}
		r.wants("a", history.Completed, "0 1 2")
	})
}

// Deaths that are recorded count across hosts.
func TestDeathsCountAcrossHosts(t *testing.T) {
	r := newRig(t, mode{name: "a crash after each commit", fate: func(int) fate { return dies }}, 1)
	r.flows["Chain"] = chain
	r.deadly["Chain"] = true
	_ = r.start("a", "Chain", "null")
	if row := r.row("a"); row.Status != history.Suspended {
		t.Errorf("%s", history.StatusName(row.Status))
	}
	// One death more than recorded may be lost with each host, not all of them.
	if n := r.nodes[0].answered; n > 30 {
		t.Errorf("the app died %d times", n)
	}
}

func TestLateAndDoubleResultsAreDropped(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) {
			first := f.must(f.call("Hold", "1"))
			return first + " " + f.must(f.call("Hold", "2")), nil
		}
		_ = r.start("a", "One", "null")
		n := r.nodes[0]
		current := func() work.Token {
			if len(n.running) == 0 {
				r.Fatal("no activity is out")
			}
			return n.running[len(n.running)-1].Token // the last one handed out
		}
		answer := func(token work.Token, result string) {
			n.core.Done(r.now, work.ActivityDone(token, work.ActivityResult{Result: &result}))
		}
		good := current()
		for _, wrong := range []work.Token{
			{},
			{Partition: good.Partition, Epoch: good.Epoch, Serial: good.Serial + 1},
			{Partition: good.Partition, Epoch: good.Epoch - 1, Serial: good.Serial},
			{Partition: good.Partition, Epoch: good.Epoch + 1, Serial: good.Serial},
			{Partition: good.Partition + 1, Epoch: good.Epoch, Serial: good.Serial},
		} {
			answer(wrong, "stolen")
			n.core.Done(r.now, work.EpisodeDone(wrong, work.EpisodeResult{}))
		}
		n.core.Done(r.now, work.EpisodeDone(good, work.EpisodeResult{})) // of the other kind
		r.run()
		if r.row("a").Status != history.Running {
			r.Fatal("a wrong token was taken")
		}
		for _, result := range []string{"x", "y"} {
			good = current()
			r.finish("Hold", func(*work.Item) *work.Result { return returns(&result) })
			answer(good, "twice")
			r.run()
		}
		r.wants("a", history.Completed, "x y")
		answer(good, "very late")
		r.run()
	})
}

func TestDoubleEpisodeResultIsDropped(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Hold", "1")) }
	r.post("a", starting("a", "One", "null"))
	n := r.nodes[0]
	n.take()
	res := n.episode(n.episodes[0])
	n.episodes = nil
	n.core.Done(r.now, res)
	n.core.Done(r.now, res)
	r.run()
	if len(n.running) != 1 || r.row("a").Position != 4 {
		t.Errorf("%d activities out, %d events", len(n.running), r.row("a").Position)
	}
	r.audit()
}

// A work item that was handed out before a takeover answers to nobody.
func TestResultsOfAnOlderEpochAreDropped(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Hold", "1")) }
	_ = r.start("a", "One", "null")
	n := r.nodes[0]
	old := n.running[0]
	n.boot()
	r.run()
	if len(n.running) != 2 || n.running[1].Token == old.Token || n.running[1].ID != old.ID {
		t.Fatalf("after a takeover %d are out", len(n.running))
	}
	old.Token.Partition = 0
	stale := "stale"
	n.core.Done(r.now, work.ActivityDone(old.Token, work.ActivityResult{Result: &stale}))
	r.run()
	if r.row("a").Status != history.Running {
		t.Error("the result of an older epoch was taken")
	}
	good := "good"
	n.core.Done(r.now, work.ActivityDone(n.running[1].Token, work.ActivityResult{Result: &good}))
	r.run()
	r.wants("a", history.Completed, "good")
}

// Nothing is dispatched for a step that did not commit (guarantee 3).
func TestActivitiesLeaveAfterTheCommitOnly(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["One"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.await(f.call("Hold", "1")) }
	a := r.post("a", starting("a", "One", "null"))
	n := r.nodes[0]
	n.take()
	n.work()
	s, err := n.core.Seal()
	if err != nil || len(s.Batch) == 0 || len(s.Effects.Work.Items) != 1 || a.done {
		t.Fatalf("batch of %d bytes, effects %+v, answered %v, %v", len(s.Batch), s.Effects, a.done, err)
	}
	if row := r.row("a"); row != nil {
		t.Error("a query sees what is not committed")
	}
	if n.core.Waiting() || n.core.Pending() {
		t.Error("what was sealed still waits")
	}
}

// What an orchestrator schedules in the step in which it fails or ends is late at once.
func TestOpenActivitiesOfAnEndedInstanceAreCancelled(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Leave"] = func(f *flow) (string, *history.TaskFailureDetails) {
		f.call("Hold", "1")
		f.event("go")
		return "done", nil
	}
	_ = r.start("a", "Leave", "null")
	n := r.nodes[0]
	token := n.running[0].Token
	_ = r.raise("a", "go", "1")
	r.wants("a", history.Completed, "done")
	if !slices.Contains(n.cancelled, token) {
		t.Errorf("cancelled %v, want %v among them", n.cancelled, token)
	}
	if !slices.Contains(n.evicted, core.ExecutionID("test", "a")) {
		t.Errorf("evicted %v", n.evicted)
	}
	r.finish("Hold", func(*work.Item) *work.Result { return returns(nil) })
	if n.core.Waiting() {
		t.Error("a late result had an effect")
	}
}
