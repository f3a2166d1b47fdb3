package durable

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// epoch is when tests begin.
var epoch = time.Date(2024, 5, 1, 10, 20, 30, 123456700, time.UTC)

// testHost plays the host for one execution. Each episode runs twice: in a runner
// that keeps the orchestrator parked, and in one that replays the whole history.
// Both must answer the same.
type testHost struct {
	t        testing.TB
	parked   *runner
	replayed *runner
	history  []*history.HistoryEvent
	now      time.Time
	work     uint64
	id       string // instance id
	exec     string
	name     string
	moved    bool // history is another host's: nothing is parked here
}

func newTestHost(t testing.TB, app *App, orchestrator string) *testHost {
	t.Helper()
	if len(app.problems) > 0 {
		t.Fatal(app.problems)
	}
	h := &testHost{
		t: t, parked: newRunner(app, hclog.NewNullLogger(), 100), replayed: newRunner(app, hclog.NewNullLogger(), 0),
		now: epoch, id: "inst-1", exec: "exec1", name: orchestrator,
	}
	t.Cleanup(func() { h.parked.close(); h.replayed.close() })
	return h
}

// start runs the first episode.
func (h *testHost) start(input string, more ...*history.HistoryEvent) *protocol.OrchestratorResult {
	h.t.Helper()
	return h.episode(append([]*history.HistoryEvent{h.started(input)}, more...)...)
}

func (h *testHost) started(input string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, Timestamp: timestamppb.New(h.now), EventType: &history.HistoryEvent_ExecutionStarted{
		ExecutionStarted: &history.ExecutionStartedEvent{
			Name: h.name, Input: text(input), Version: wrapperspb.String("2.1"), Tags: map[string]string{"team": "a", fireAndForget: "true"},
			OrchestrationInstance: &history.OrchestrationInstance{InstanceId: h.id, ExecutionId: wrapperspb.String(h.exec)},
			ParentInstance:        &history.ParentInstanceInfo{OrchestrationInstance: &history.OrchestrationInstance{InstanceId: "the-parent"}},
		}}}
}

// episode runs the given events as one episode and commits it.
func (h *testHost) episode(events ...*history.HistoryEvent) *protocol.OrchestratorResult {
	h.t.Helper()
	res, news := h.try(events...)
	if res.NonDeterminism != nil {
		h.t.Fatalf("unexpected non-determinism: %v", res.NonDeterminism)
	}
	h.commit(news, res)
	return res
}

// try runs an episode in both runners without committing it.
func (h *testHost) try(events ...*history.HistoryEvent) (*protocol.OrchestratorResult, []*history.HistoryEvent) {
	h.t.Helper()
	h.now = h.now.Add(time.Second)
	h.work++
	news := append([]*history.HistoryEvent{{EventId: -1, Timestamp: timestamppb.New(h.now),
		EventType: &history.HistoryEvent_OrchestratorStarted{OrchestratorStarted: &history.OrchestratorStartedEvent{}}}}, events...)
	w := &protocol.OrchestratorWork{
		Work: h.work, InstanceId: h.id, ExecutionId: h.exec, Name: h.name,
		Position: uint64(len(h.history)), NewEvents: encodeEvents(h.t, news),
	}
	parked := &protocol.OrchestratorResult{}
	h.parked.episode(w, parked)
	full := &protocol.OrchestratorWork{
		Work: h.work, InstanceId: h.id, ExecutionId: h.exec, Name: h.name,
		Position: w.Position, NewEvents: w.NewEvents, HasHistory: true, PastEvents: encodeEvents(h.t, h.history),
	}
	replayed := &protocol.OrchestratorResult{}
	h.replayed.episode(full, replayed)
	if h.moved {
		if !parked.HistoryNeeded {
			h.t.Fatal("a runner that never saw the execution went on with it")
		}
		h.moved = false
		return replayed, news
	}
	scrub(parked)
	scrub(replayed)
	if !proto.Equal(parked, replayed) {
		h.t.Fatalf("episode at %d differs:\nparked:   %v\nreplayed: %v", w.Position, parked, replayed)
	}
	return parked, news
}

// scrub shortens what differs between two runs of the same code: stacks.
func scrub(r *protocol.OrchestratorResult) {
	for _, a := range r.Actions {
		for d := a.GetCompleteOrchestration().GetFailureDetails(); d != nil; d = d.InnerFailure {
			if d.StackTrace != nil {
				if !strings.Contains(d.StackTrace.Value, "goroutine") {
					panic("a stack without goroutine: " + d.StackTrace.Value)
				}
				d.StackTrace = wrapperspb.String("stack")
			}
		}
	}
}

// commit appends to history what a host appends.
func (h *testHost) commit(news []*history.HistoryEvent, res *protocol.OrchestratorResult) {
	h.t.Helper()
	want := positionAfter(uint64(len(h.history)), len(news), res.Actions)
	h.history = append(h.history, news...)
	for _, a := range res.Actions {
		if e := recorded(a, h.now); e != nil {
			h.history = append(h.history, e)
		}
	}
	h.history = append(h.history, &history.HistoryEvent{EventId: -1, Timestamp: timestamppb.New(h.now),
		EventType: &history.HistoryEvent_OrchestratorCompleted{OrchestratorCompleted: &history.OrchestratorCompletedEvent{}}})
	if uint64(len(h.history)) != want {
		h.t.Fatalf("history has %d events, positionAfter says %d", len(h.history), want)
	}
}

// recorded is the event that an action leaves in history, or nil.
func recorded(a *history.OrchestratorAction, now time.Time) *history.HistoryEvent {
	e := &history.HistoryEvent{EventId: a.Id, Timestamp: timestamppb.New(now)}
	switch v := a.OrchestratorActionType.(type) {
	case *history.OrchestratorAction_ScheduleTask:
		e.EventType = &history.HistoryEvent_TaskScheduled{TaskScheduled: &history.TaskScheduledEvent{Name: v.ScheduleTask.Name, Input: v.ScheduleTask.Input}}
	case *history.OrchestratorAction_CreateSubOrchestration:
		e.EventType = &history.HistoryEvent_SubOrchestrationInstanceCreated{
			SubOrchestrationInstanceCreated: &history.SubOrchestrationInstanceCreatedEvent{Name: v.CreateSubOrchestration.Name}}
	case *history.OrchestratorAction_CreateTimer:
		e.EventType = &history.HistoryEvent_TimerCreated{TimerCreated: &history.TimerCreatedEvent{FireAt: v.CreateTimer.FireAt}}
	case *history.OrchestratorAction_SendEvent:
		e.EventType = &history.HistoryEvent_EventSent{EventSent: &history.EventSentEvent{Name: v.SendEvent.Name}}
	case *history.OrchestratorAction_CompleteOrchestration:
		e.EventType = &history.HistoryEvent_ExecutionCompleted{ExecutionCompleted: &history.ExecutionCompletedEvent{
			OrchestrationStatus: v.CompleteOrchestration.OrchestrationStatus}}
	default:
		return nil
	}
	return e
}

func encodeEvents(t testing.TB, events []*history.HistoryEvent) []byte {
	t.Helper()
	b, err := (&history.History{Events: events}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The events that hosts send.

func text(s string) *wrapperspb.StringValue {
	if s == "" {
		return nil
	}
	return wrapperspb.String(s)
}

func done(id int32, result string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_TaskCompleted{
		TaskCompleted: &history.TaskCompletedEvent{TaskScheduledId: id, Result: text(result)}}}
}

func failed(id int32, d *history.TaskFailureDetails) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_TaskFailed{
		TaskFailed: &history.TaskFailedEvent{TaskScheduledId: id, FailureDetails: d}}}
}

func boom(id int32) *history.HistoryEvent {
	return failed(id, &history.TaskFailureDetails{ErrorType: "*errors.errorString", ErrorMessage: "boom"})
}

func childDone(id int32, result string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_SubOrchestrationInstanceCompleted{
		SubOrchestrationInstanceCompleted: &history.SubOrchestrationInstanceCompletedEvent{TaskScheduledId: id, Result: text(result)}}}
}

func childFailed(id int32, message string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_SubOrchestrationInstanceFailed{
		SubOrchestrationInstanceFailed: &history.SubOrchestrationInstanceFailedEvent{
			TaskScheduledId: id, FailureDetails: &history.TaskFailureDetails{ErrorType: "X", ErrorMessage: message}}}}
}

func fired(id int32) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_TimerFired{
		TimerFired: &history.TimerFiredEvent{TimerId: id}}}
}

func event(name, data string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_EventRaised{
		EventRaised: &history.EventRaisedEvent{Name: name, Input: text(data)}}}
}

// show writes actions on one line each, for comparison and failure texts.
func show(res *protocol.OrchestratorResult) []string {
	var lines []string
	for _, a := range res.Actions {
		var s string
		switch v := a.OrchestratorActionType.(type) {
		case *history.OrchestratorAction_ScheduleTask:
			s = fmt.Sprintf("activity %s(%s)", v.ScheduleTask.Name, v.ScheduleTask.Input.GetValue())
		case *history.OrchestratorAction_CreateSubOrchestration:
			c := v.CreateSubOrchestration
			s = fmt.Sprintf("child %s(%s) %q", c.Name, c.Input.GetValue(), c.InstanceId)
		case *history.OrchestratorAction_CreateTimer:
			s = "timer +" + v.CreateTimer.FireAt.AsTime().Sub(epoch).String()
		case *history.OrchestratorAction_CancelTimer:
			s = "cancel"
		case *history.OrchestratorAction_SendEvent:
			s = fmt.Sprintf("send %s(%s) to %s", v.SendEvent.Name, v.SendEvent.Data.GetValue(), v.SendEvent.Instance.InstanceId)
		case *history.OrchestratorAction_CompleteOrchestration:
			c := v.CompleteOrchestration
			s = fmt.Sprintf("%s %s", history.StatusName(c.OrchestrationStatus), c.Result.GetValue())
			if d := c.FailureDetails; d != nil {
				s += d.ErrorType + ": " + d.ErrorMessage
			}
			for _, e := range c.CarryoverEvents {
				s += fmt.Sprintf(" +%s(%s)", e.GetEventRaised().Name, e.GetEventRaised().Input.GetValue())
			}
		}
		lines = append(lines, fmt.Sprintf("#%d %s", a.Id, strings.TrimSpace(s)))
	}
	return lines
}

// expect compares an episode's actions.
func expect(t testing.TB, res *protocol.OrchestratorResult, want ...string) {
	t.Helper()
	if got := strings.Join(show(res), "\n"); got != strings.Join(want, "\n") {
		t.Fatalf("actions:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// orchestration is an app of one orchestrator named O.
func orchestration[In, Out any](fn func(*OrchestrationContext, In) (Out, error)) *App {
	app := NewApp("test")
	Orchestrator(app, "O", fn)
	return app
}

// resultOf runs the next episode, in which activity 0 completes, in one runner on
// a goroutine of its own, with the whole history. It closes done.
func resultOf(h *testHost, r *runner, done chan<- struct{}) *protocol.OrchestratorResult {
	news := []*history.HistoryEvent{
		{EventId: -1, Timestamp: timestamppb.New(h.now), EventType: &history.HistoryEvent_OrchestratorStarted{
			OrchestratorStarted: &history.OrchestratorStartedEvent{}}},
		{EventId: -1, EventType: &history.HistoryEvent_TaskCompleted{TaskCompleted: &history.TaskCompletedEvent{TaskScheduledId: 0}}},
	}
	res := &protocol.OrchestratorResult{}
	w := &protocol.OrchestratorWork{
		Work: h.work, InstanceId: h.id, ExecutionId: h.exec, Name: h.name, HasHistory: true,
		Position: uint64(len(h.history)), NewEvents: encodeEvents(h.t, news), PastEvents: encodeEvents(h.t, h.history),
	}
	go func() {
		defer close(done)
		r.episode(w, res)
	}()
	return res
}
