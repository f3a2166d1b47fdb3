package core_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// flow is what an orchestrator of these tests sees: a straight-line function that is
// run from its beginning over the whole history, and stops where it has to wait. It
// stands for the SDK, independently of it.
type flow struct {
	instance, execution, input string
	now                        time.Time

	next    int32          // number of the next action
	issued  map[int32]bool // actions that history has
	ended   map[int32]*history.HistoryEvent
	order   []int32 // tasks as they ended
	raised  []*history.HistoryEvent
	taken   []bool
	actions []*history.OrchestratorAction
	status  *string
}

// orchestrator returns its output, or how it failed.
type orchestrator func(f *flow) (string, *history.TaskFailureDetails)

// waits ends a run that has to wait; again ends one that continues as new.
type (
	waits struct{}
	again struct {
		input string
		carry bool
	}
)

// play runs an orchestrator over its history and answers what it asks for.
func play(h []*history.HistoryEvent, run orchestrator) (f *flow) {
	f = &flow{issued: map[int32]bool{}, ended: map[int32]*history.HistoryEvent{}}
	for _, e := range h {
		f.see(e)
	}
	f.taken = make([]bool, len(f.raised))
	defer func() {
		switch how := recover().(type) {
		case nil, waits:
		case again:
			c := &history.CompleteOrchestrationAction{OrchestrationStatus: history.ContinuedAsNew, Result: wrapperspb.String(how.input)}
			for n, e := range f.raised {
				if how.carry && !f.taken[n] {
					c.CarryoverEvents = append(c.CarryoverEvents, e)
				}
			}
			f.complete(c)
		default:
			panic(how)
		}
	}()
	output, fail := run(f)
	c := &history.CompleteOrchestrationAction{OrchestrationStatus: history.Completed, Result: wrapperspb.String(output)}
	if fail != nil {
		c.OrchestrationStatus, c.Result, c.FailureDetails = history.Failed, nil, fail
	}
	f.complete(c)
	return f
}

func (f *flow) see(e *history.HistoryEvent) {
	switch k := e.EventType.(type) {
	case *history.HistoryEvent_OrchestratorStarted:
		f.now = e.Timestamp.AsTime()
	case *history.HistoryEvent_ExecutionStarted:
		f.instance = k.ExecutionStarted.OrchestrationInstance.InstanceId
		f.execution = k.ExecutionStarted.OrchestrationInstance.ExecutionId.GetValue()
		f.input = k.ExecutionStarted.Input.GetValue()
	case *history.HistoryEvent_TaskScheduled, *history.HistoryEvent_SubOrchestrationInstanceCreated,
		*history.HistoryEvent_TimerCreated, *history.HistoryEvent_EventSent:
		f.issued[e.EventId] = true
	case *history.HistoryEvent_EventRaised:
		f.raised = append(f.raised, e)
	default:
		if task, ok := completes(e); ok {
			f.ended[task] = e
			f.order = append(f.order, task)
		}
	}
}

// completes is the task that an event ends, if it ends one.
func completes(e *history.HistoryEvent) (int32, bool) {
	switch k := e.EventType.(type) {
	case *history.HistoryEvent_TaskCompleted:
		return k.TaskCompleted.TaskScheduledId, true
	case *history.HistoryEvent_TaskFailed:
		return k.TaskFailed.TaskScheduledId, true
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		return k.SubOrchestrationInstanceCompleted.TaskScheduledId, true
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		return k.SubOrchestrationInstanceFailed.TaskScheduledId, true
	case *history.HistoryEvent_TimerFired:
		return k.TimerFired.TimerId, true
	}
	return 0, false
}

// ask adds an action unless history has it.
func (f *flow) ask(a *history.OrchestratorAction) int32 {
	a.Id = f.next
	f.next++
	if !f.issued[a.Id] {
		f.actions = append(f.actions, a)
	}
	return a.Id
}

func (f *flow) complete(c *history.CompleteOrchestrationAction) {
	f.actions = append(f.actions, &history.OrchestratorAction{
		Id: f.next, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{CompleteOrchestration: c},
	})
}

func (f *flow) call(name, input string) int32 {
	return f.ask(&history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
		ScheduleTask: &history.ScheduleTaskAction{Name: name, Input: wrapperspb.String(input)},
	}})
}

// child calls a sub-orchestration; tags come as "key=value".
func (f *flow) child(name, id, input string, tags ...string) int32 {
	a := &history.CreateSubOrchestrationAction{Name: name, InstanceId: id, Input: wrapperspb.String(input)}
	for _, tag := range tags {
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		key, value, _ := strings.Cut(tag, "=")
		a.Tags[key] = value
	}
	return f.ask(&history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateSubOrchestration{CreateSubOrchestration: a}})
}

func (f *flow) timer(at time.Time) int32 {
	return f.ask(&history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateTimer{
		CreateTimer: &history.CreateTimerAction{FireAt: timestamppb.New(at)},
	}})
}

// cancel leaves no event, so a replay asks for it again; that must do no harm.
func (f *flow) cancel(timer int32) {
	f.actions = append(f.actions, &history.OrchestratorAction{
		Id: timer, OrchestratorActionType: &history.OrchestratorAction_CancelTimer{CancelTimer: &history.CancelTimerAction{}},
	})
}

func (f *flow) send(target, name, data string) int32 {
	return f.ask(&history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_SendEvent{
		SendEvent: &history.SendEventAction{Instance: &history.OrchestrationInstance{InstanceId: target}, Name: name, Data: wrapperspb.String(data)},
	}})
}

func (f *flow) continueAsNew(input string, carry bool) { panic(again{input, carry}) }

// await is the outcome of a task, or the end of this run.
func (f *flow) await(task int32) (string, *history.TaskFailureDetails) {
	e := f.ended[task]
	switch {
	case e == nil:
		panic(waits{})
	case e.GetTaskFailed() != nil:
		return "", e.GetTaskFailed().FailureDetails
	case e.GetSubOrchestrationInstanceFailed() != nil:
		return "", e.GetSubOrchestrationInstanceFailed().FailureDetails
	case e.GetSubOrchestrationInstanceCompleted() != nil:
		return e.GetSubOrchestrationInstanceCompleted().Result.GetValue(), nil
	}
	return e.GetTaskCompleted().GetResult().GetValue(), nil
}

// must is await for a task that should not fail.
func (f *flow) must(task int32) string {
	out, fail := f.await(task)
	if fail != nil {
		return "failed: " + fail.ErrorType + ": " + fail.ErrorMessage
	}
	return out
}

// any is the task that ended first.
func (f *flow) any(tasks ...int32) int32 {
	for _, task := range f.order {
		if slices.Contains(tasks, task) {
			return task
		}
	}
	panic(waits{})
}

// event takes the next raised event of a name.
func (f *flow) event(name string) string {
	if data, ok := f.poll(name); ok {
		return data
	}
	panic(waits{})
}

// poll takes one only if it is there.
func (f *flow) poll(name string) (string, bool) {
	for n, e := range f.raised {
		if r := e.GetEventRaised(); !f.taken[n] && strings.EqualFold(r.Name, name) {
			f.taken[n] = true
			return r.Input.GetValue(), true
		}
	}
	return "", false
}

// traces are the history events that actions leave, in the shape that sig shows.
func traces(actions []*history.OrchestratorAction) (events []*history.HistoryEvent) {
	for _, a := range actions {
		e := &history.HistoryEvent{EventId: a.Id}
		switch k := a.OrchestratorActionType.(type) {
		case *history.OrchestratorAction_ScheduleTask:
			e.EventType = &history.HistoryEvent_TaskScheduled{TaskScheduled: &history.TaskScheduledEvent{Name: k.ScheduleTask.Name}}
		case *history.OrchestratorAction_CreateSubOrchestration:
			e.EventType = &history.HistoryEvent_SubOrchestrationInstanceCreated{
				SubOrchestrationInstanceCreated: &history.SubOrchestrationInstanceCreatedEvent{Name: k.CreateSubOrchestration.Name}}
		case *history.OrchestratorAction_CreateTimer:
			e.EventType = &history.HistoryEvent_TimerCreated{TimerCreated: &history.TimerCreatedEvent{}}
		case *history.OrchestratorAction_SendEvent:
			e.EventType = &history.HistoryEvent_EventSent{EventSent: &history.EventSentEvent{Name: k.SendEvent.Name}}
		default:
			continue
		}
		events = append(events, e)
	}
	return append(events, &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_OrchestratorCompleted{
		OrchestratorCompleted: &history.OrchestratorCompletedEvent{},
	}})
}

// sig is an event in a few words: its kind, its number, and what tells it apart.
func sig(e *history.HistoryEvent) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", e.EventType), "*history.HistoryEvent_")
	if e.EventId != -1 {
		kind += fmt.Sprintf("#%d", e.EventId)
	}
	if task, ok := completes(e); ok {
		return fmt.Sprintf("%s(%d)", kind, task)
	}
	switch k := e.EventType.(type) {
	case *history.HistoryEvent_TaskScheduled:
		return kind + " " + k.TaskScheduled.Name
	case *history.HistoryEvent_SubOrchestrationInstanceCreated:
		return kind + " " + k.SubOrchestrationInstanceCreated.Name
	case *history.HistoryEvent_EventSent:
		return kind + " " + k.EventSent.Name
	case *history.HistoryEvent_EventRaised:
		return kind + " " + k.EventRaised.Name
	case *history.HistoryEvent_ExecutionCompleted:
		return kind + " " + history.StatusName(k.ExecutionCompleted.OrchestrationStatus)
	}
	return kind
}

func sigs(events []*history.HistoryEvent) []string {
	out := make([]string, len(events))
	for n, e := range events {
		out[n] = sig(e)
	}
	return out
}

func text(s string) *wrapperspb.StringValue { return wrapperspb.String(s) }
