package sim

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// replay is what a program knows of its execution: the history so far. It is what a
// parked orchestrator holds, and can be rebuilt from the whole history.
type replay struct {
	instance string
	position uint64     // as the engine counts: events of the history
	after    work.Token // the last episode
	input    string
	parent   string
	started  time.Time // of the first episode
	startAt  time.Time // not before that; zero: at once
	tasks    map[int32]*task
	raised   []string // payloads of external events, in order
	stops    int      // events named "stop"

	next    int32 // number of the next action in this run
	actions []*history.OrchestratorAction
	ended   bool
}

// task is one thing that a program asked for.
type task struct {
	id       int32
	what     string
	done     bool
	failed   bool
	result   string
	fireAt   time.Time
	canceled bool
	order    int // of its completion among all events
}

func newReplay(instance string) *replay {
	return &replay{instance: instance, tasks: map[int32]*task{}}
}

// add takes one event; the error says why it cannot follow what came before.
func (r *replay) add(e *history.HistoryEvent) error {
	r.position++
	switch k := e.EventType.(type) {
	case *history.HistoryEvent_ExecutionStarted:
		if r.input != "" {
			return fmt.Errorf("event %d: started twice", r.position)
		}
		r.input = k.ExecutionStarted.Input.GetValue()
		r.parent = k.ExecutionStarted.ParentInstance.GetOrchestrationInstance().GetInstanceId()
		if at := k.ExecutionStarted.ScheduledStartTimestamp; at != nil {
			r.startAt = at.AsTime()
		}
		if id := k.ExecutionStarted.OrchestrationInstance.GetInstanceId(); id != r.instance {
			return fmt.Errorf("event %d: started as %q", r.position, id)
		}
	case *history.HistoryEvent_OrchestratorStarted:
		if r.started.IsZero() {
			if r.started = e.Timestamp.AsTime(); r.started.Before(r.startAt) {
				return fmt.Errorf("event %d: to be started at %v, and started at %v", r.position, r.startAt, r.started)
			}
		}
	case *history.HistoryEvent_TaskScheduled:
		return r.scheduled(e.EventId, k.TaskScheduled.Name+" "+k.TaskScheduled.Input.GetValue())
	case *history.HistoryEvent_SubOrchestrationInstanceCreated:
		return r.scheduled(e.EventId, k.SubOrchestrationInstanceCreated.Name+" "+k.SubOrchestrationInstanceCreated.Input.GetValue())
	case *history.HistoryEvent_TimerCreated:
		return r.scheduled(e.EventId, "timer")
	case *history.HistoryEvent_EventSent:
		return r.scheduled(e.EventId, "send "+k.EventSent.Input.GetValue())
	case *history.HistoryEvent_TaskCompleted:
		return r.completed(k.TaskCompleted.TaskScheduledId, k.TaskCompleted.Result.GetValue(), false)
	case *history.HistoryEvent_TaskFailed:
		return r.completed(k.TaskFailed.TaskScheduledId, k.TaskFailed.FailureDetails.GetErrorMessage(), true)
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		return r.completed(k.SubOrchestrationInstanceCompleted.TaskScheduledId, k.SubOrchestrationInstanceCompleted.Result.GetValue(), false)
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		return r.completed(k.SubOrchestrationInstanceFailed.TaskScheduledId, k.SubOrchestrationInstanceFailed.FailureDetails.GetErrorMessage(), true)
	case *history.HistoryEvent_TimerFired:
		if at, due := e.Timestamp.AsTime(), k.TimerFired.FireAt.AsTime(); at.Before(due) {
			return fmt.Errorf("event %d: timer due at %v fired at %v", r.position, due, at)
		}
		return r.completed(k.TimerFired.TimerId, "", false)
	case *history.HistoryEvent_EventRaised:
		if k.EventRaised.Name == "stop" {
			r.stops++
		} else {
			r.raised = append(r.raised, k.EventRaised.Input.GetValue())
		}
	}
	return nil
}

func (r *replay) scheduled(id int32, what string) error {
	if t := r.tasks[id]; t != nil {
		return fmt.Errorf("event %d: task %d is scheduled twice: %s, %s", r.position, id, t.what, what)
	}
	r.tasks[id] = &task{id: id, what: what}
	return nil
}

func (r *replay) completed(id int32, result string, failed bool) error {
	t := r.tasks[id]
	switch {
	case t == nil:
		return fmt.Errorf("event %d: completion of task %d, which was never scheduled", r.position, id)
	case t.done:
		return fmt.Errorf("event %d: second completion of task %d (%s)", r.position, id, t.what)
	}
	t.done, t.failed, t.result, t.order = true, failed, result, int(r.position)
	return nil
}

// begin starts a run of the program over what is known.
func (r *replay) begin() { r.next, r.actions, r.ended = 0, nil, false }

// task finds or makes the next task of the run; a disagreement with history panics,
// which fails the world.
func (r *replay) task(what string, action *history.OrchestratorAction) *task {
	id := r.next
	r.next++
	if t := r.tasks[id]; t != nil {
		if t.what != what {
			panic(fmt.Sprintf("%s: task %d is %q in history and %q in the program", r.instance, id, t.what, what))
		}
		return t
	}
	t := &task{id: id, what: what}
	r.tasks[id] = t
	action.Id = id
	r.actions = append(r.actions, action)
	return t
}

func value(s string) *wrapperspb.StringValue { return &wrapperspb.StringValue{Value: s} }

func (r *replay) activity(name string, input int) *task {
	in := strconv.Itoa(input)
	return r.task(name+" "+in, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
		ScheduleTask: &history.ScheduleTaskAction{Name: name, Input: value(in)},
	}})
}

func (r *replay) child(name, id, input string) *task {
	return r.task(name+" "+input, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateSubOrchestration{
		CreateSubOrchestration: &history.CreateSubOrchestrationAction{Name: name, InstanceId: id, Input: value(input)},
	}})
}

// spawn starts a child that is not awaited.
func (r *replay) spawn(name, id, input string) {
	r.task(name+" "+input, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateSubOrchestration{
		CreateSubOrchestration: &history.CreateSubOrchestrationAction{Name: name, InstanceId: id, Input: value(input), Tags: map[string]string{"FireAndForget": ""}},
	}})
}

func (r *replay) timer(after time.Duration) *task {
	at := r.started.Add(after)
	t := r.task("timer", &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateTimer{
		CreateTimer: &history.CreateTimerAction{FireAt: timestamppb.New(at)},
	}})
	t.fireAt = at
	return t
}

func (r *replay) cancel(t *task) {
	if t.canceled || t.done {
		return
	}
	t.canceled = true
	r.actions = append(r.actions, &history.OrchestratorAction{Id: t.id, OrchestratorActionType: &history.OrchestratorAction_CancelTimer{
		CancelTimer: &history.CancelTimerAction{},
	}})
}

func (r *replay) send(target, data string) {
	r.task("send "+data, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_SendEvent{
		SendEvent: &history.SendEventAction{Instance: &history.OrchestrationInstance{InstanceId: target}, Name: "add", Data: value(data)},
	}})
}

func (r *replay) complete(result string) {
	r.end(&history.CompleteOrchestrationAction{OrchestrationStatus: history.Completed, Result: value(result)})
}

func (r *replay) failed(message string) {
	r.end(&history.CompleteOrchestrationAction{OrchestrationStatus: history.Failed,
		FailureDetails: &history.TaskFailureDetails{ErrorType: "Scripted", ErrorMessage: message}})
}

// continueAsNew starts over; of the raised events those from carry on come along.
func (r *replay) continueAsNew(input string, carry int) {
	a := &history.CompleteOrchestrationAction{OrchestrationStatus: history.ContinuedAsNew, Result: value(input)}
	for _, data := range r.raised[carry:] {
		a.CarryoverEvents = append(a.CarryoverEvents, raisedEvent("add", data))
	}
	for range r.stops {
		a.CarryoverEvents = append(a.CarryoverEvents, raisedEvent("stop", "null"))
	}
	r.end(a)
}

func raisedEvent(name, data string) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: -1, Timestamp: &timestamppb.Timestamp{}, EventType: &history.HistoryEvent_EventRaised{
		EventRaised: &history.EventRaisedEvent{Name: name, Input: value(data)},
	}}
}

func (r *replay) end(a *history.CompleteOrchestrationAction) {
	r.ended = true
	r.actions = append(r.actions, &history.OrchestratorAction{Id: r.next, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{
		CompleteOrchestration: a,
	}})
	r.next++
}

// settle counts what the engine adds to the history for this run's actions, as the
// SDK does: one event each, except those that leave none, and the episode's end.
func (r *replay) settle() {
	for _, a := range r.actions {
		if a.GetCancelTimer() == nil && a.GetTerminateOrchestration() == nil {
			r.position++
		}
	}
	r.position++
	r.actions = nil
}
