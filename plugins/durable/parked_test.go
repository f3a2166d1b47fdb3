package durable

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// begin starts an execution in r and returns how many events its history has.
func begin(t testing.TB, r *runner, id string) uint64 {
	t.Helper()
	h := &testHost{t: t, id: id, exec: id, name: "O", now: epoch}
	res := &protocol.OrchestratorResult{}
	news := []*history.HistoryEvent{h.started("")}
	r.episode(&protocol.OrchestratorWork{InstanceId: id, ExecutionId: id, Name: "O", NewEvents: encodeEvents(t, news)}, res)
	if len(res.Actions) != 1 {
		t.Fatalf("start of %s: %v", id, res)
	}
	return positionAfter(0, len(news), res.Actions)
}

// goOn completes activity 0 without sending history.
func goOn(t testing.TB, r *runner, id string, position uint64) *protocol.OrchestratorResult {
	t.Helper()
	res := &protocol.OrchestratorResult{}
	r.episode(&protocol.OrchestratorWork{InstanceId: id, ExecutionId: id, Name: "O", Position: position,
		NewEvents: encodeEvents(t, []*history.HistoryEvent{done(0, "1")})}, res)
	return res
}

func oneActivity() *App {
	return orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		return CallActivity[int](ctx, "A", nil).Await()
	})
}

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	r := newRunner(oneActivity(), hclog.NewNullLogger(), 2)
	defer r.close()
	a, b := begin(t, r, "a"), begin(t, r, "b")
	// A look at a that does nothing makes it the younger one.
	res := &protocol.OrchestratorResult{}
	r.episode(&protocol.OrchestratorWork{InstanceId: "a", ExecutionId: "a", Position: a}, res)
	a = positionAfter(a, 0, nil)
	c := begin(t, r, "c")
	if !goOn(t, r, "b", b).HistoryNeeded {
		t.Error("b was not evicted")
	}
	for id, position := range map[string]uint64{"a": a, "c": c} {
		expect(t, goOn(t, r, id, position), "#1 Completed 1")
	}
	if n := r.parked.len(); n != 0 {
		t.Errorf("%d ended executions stay parked", n)
	}
}

func TestAnotherPositionNeedsHistory(t *testing.T) {
	r := newRunner(oneActivity(), hclog.NewNullLogger(), 9)
	defer r.close()
	position := begin(t, r, "a")
	if !goOn(t, r, "a", position+1).HistoryNeeded {
		t.Error("continued at another position")
	}
	if !goOn(t, r, "a", position).HistoryNeeded {
		t.Error("an execution that history has left behind is still parked")
	}
	if !goOn(t, r, "a", 0).HistoryNeeded {
		t.Error("an episode without a start began an execution")
	}
}

// An app can hold what it ran for an owner that lost the partition before the episode was
// committed. The history may have come to the same length in another way since.
func TestAnotherEpisodeNeedsHistory(t *testing.T) {
	r := newRunner(oneActivity(), hclog.NewNullLogger(), 9)
	defer r.close()
	h := &testHost{t: t, id: "a", exec: "a", name: "O", now: epoch}
	start := h.started("")
	first := &protocol.OrchestratorWork{InstanceId: "a", ExecutionId: "a", Name: "O", Epoch: 1, Serial: 7, NewEvents: encodeEvents(t, []*history.HistoryEvent{start})}
	next := func(epoch, serial uint64) *protocol.OrchestratorWork {
		return &protocol.OrchestratorWork{InstanceId: "a", ExecutionId: "a", Name: "O", Position: 3, AfterEpoch: epoch, AfterSerial: serial,
			NewEvents: encodeEvents(t, []*history.HistoryEvent{done(0, "1")})}
	}
	run := func(w *protocol.OrchestratorWork) *protocol.OrchestratorResult {
		res := &protocol.OrchestratorResult{}
		r.episode(w, res)
		return res
	}
	for _, other := range []*protocol.OrchestratorWork{next(2, 7), next(1, 8)} {
		run(first)
		if !run(other).HistoryNeeded {
			t.Errorf("what was parked after episode 1.7 goes on after %d.%d", other.AfterEpoch, other.AfterSerial)
		}
	}
	run(first)
	expect(t, run(next(1, 7)), "#1 Completed 1")
	run(first)
	replayed := next(2, 7)
	replayed.HasHistory = true // and it is another one
	other := &history.HistoryEvent{EventType: &history.HistoryEvent_TaskScheduled{TaskScheduled: &history.TaskScheduledEvent{Name: "B"}}}
	replayed.PastEvents = encodeEvents(t, []*history.HistoryEvent{start, other, event("e", "1")})
	if run(replayed).NonDeterminism == nil {
		t.Error("the history that came with the work was not looked at")
	}
}

func TestHostEvicts(t *testing.T) {
	r := newRunner(oneActivity(), hclog.NewNullLogger(), 9)
	defer r.close()
	position := begin(t, r, "a")
	r.parked.evict("a")
	r.parked.evict("unknown")
	if !goOn(t, r, "a", position).HistoryNeeded {
		t.Error("an evicted execution was continued")
	}
}

func TestTerminatedExecutionIsDropped(t *testing.T) {
	r := newRunner(oneActivity(), hclog.NewNullLogger(), 9)
	defer r.close()
	position := begin(t, r, "a")
	res := &protocol.OrchestratorResult{}
	r.episode(&protocol.OrchestratorWork{InstanceId: "a", ExecutionId: "a", Position: position,
		NewEvents: encodeEvents(t, []*history.HistoryEvent{
			{EventType: &history.HistoryEvent_ExecutionTerminated{ExecutionTerminated: &history.ExecutionTerminatedEvent{}}}, done(0, "1")})}, res)
	if len(res.Actions) != 0 || r.parked.len() != 0 {
		t.Errorf("after a termination: %v, %d parked", res, r.parked.len())
	}
}

// Eviction runs deferred functions, in which durable calls end at once, recover
// sees nothing, and a panic stays inside; the goroutine is gone afterwards.
func TestEvictionUnwindsCleanly(t *testing.T) {
	before := runtime.NumGoroutine()
	var steps []string
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		defer func() { steps = append(steps, "outer") }()
		defer func() { panic("in a deferred function") }()
		defer func() {
			defer func() { steps = append(steps, "after the call") }()
			CallActivity[int](ctx, "Undo", nil).Await()
			steps = append(steps, "a durable call returned")
		}()
		defer func() { steps = append(steps, fmt.Sprint("recovered ", recover())) }()
		CallActivity[int](ctx, "A", nil).Await()
		steps = append(steps, "went on")
		return 0, nil
	})
	r := newRunner(app, hclog.NewNullLogger(), 1)
	begin(t, r, "a")
	begin(t, r, "b")
	if got := fmt.Sprint(steps); got != "[recovered <nil> after the call outer]" {
		t.Errorf("eviction ran %s", got)
	}
	r.close()
	if got := len(steps); got != 6 {
		t.Errorf("close left a parked orchestrator: %v", steps)
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestEvictionDuringAPanic(t *testing.T) {
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		defer func() { CallActivity[int](ctx, "Undo", nil).Await() }() // parks while the panic is under way
		panic("first")
	})
	r := newRunner(app, hclog.NewNullLogger(), 1)
	begin(t, r, "a")
	begin(t, r, "b")
	r.close()
	if r.parked.len() != 0 {
		t.Error("still parked")
	}

	h := newTestHost(t, app, "O")
	expect(t, h.start(""), "#0 activity Undo()")
	expect(t, h.episode(done(0, "")), "#1 Failed panic: Orchestrator function 'O' failed: panic: first")
}
