package durable

import (
	"fmt"
	"strings"

	"github.com/durafunc/durafunc/taskhub/history"
)

// replayError means that an execution cannot go on over its history: the code
// asks for something else than it did (nothing of the episode counts), or the
// history makes no sense.
type replayError struct {
	errorType string
	text      string
}

// details is the failure that the host is told.
func (e *replayError) details() *history.TaskFailureDetails {
	return &history.TaskFailureDetails{ErrorType: e.errorType, ErrorMessage: e.text, IsNonRetriable: true}
}

// applyAll applies a run of events. The orchestrator runs after each event that
// finishes what it waits for, never after a whole batch: so what it does depends on
// the order of events only, not on how they were cut into episodes.
func (x *execution) applyAll(events []*history.HistoryEvent, replaying bool) *replayError {
	x.replaying = replaying
	for _, e := range events {
		if err := x.apply(e); err != nil {
			return err
		}
		if w := x.waiting; w != nil && w.done {
			x.resume()
		}
		x.index++
	}
	return nil
}

// apply takes one event in.
func (x *execution) apply(e *history.HistoryEvent) *replayError {
	switch v := e.GetEventType().(type) {
	case *history.HistoryEvent_OrchestratorStarted:
		if t := e.GetTimestamp().AsTime(); t.After(x.now) {
			x.now = t
		}
	case *history.HistoryEvent_ExecutionStarted:
		if x.started {
			return &replayError{typeCorruptHistory, fmt.Sprintf("history event %d starts the execution a second time", x.index)}
		}
		x.start(v.ExecutionStarted)

	case *history.HistoryEvent_TaskScheduled:
		return x.confirm(e.EventId, kindActivity, v.TaskScheduled.GetName())
	case *history.HistoryEvent_SubOrchestrationInstanceCreated:
		return x.confirm(e.EventId, kindChild, v.SubOrchestrationInstanceCreated.GetName())
	case *history.HistoryEvent_TimerCreated:
		return x.confirm(e.EventId, kindTimer, "")
	case *history.HistoryEvent_EventSent:
		return x.confirm(e.EventId, kindSend, v.EventSent.GetName())
	case *history.HistoryEvent_ExecutionCompleted:
		return x.confirmEnd(v.ExecutionCompleted.GetOrchestrationStatus())

	case *history.HistoryEvent_TaskCompleted:
		x.settle(v.TaskCompleted.GetTaskScheduledId(), kindActivity, outcome{payload: v.TaskCompleted.GetResult()})
	case *history.HistoryEvent_TaskFailed:
		x.settle(v.TaskFailed.GetTaskScheduledId(), kindActivity, outcome{failure: failureOrEmpty(v.TaskFailed.GetFailureDetails())})
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		c := v.SubOrchestrationInstanceCompleted
		x.settle(c.GetTaskScheduledId(), kindChild, outcome{payload: c.GetResult()})
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		c := v.SubOrchestrationInstanceFailed
		x.settle(c.GetTaskScheduledId(), kindChild, outcome{failure: failureOrEmpty(c.GetFailureDetails())})
	case *history.HistoryEvent_TimerFired:
		x.settle(v.TimerFired.GetTimerId(), kindTimer, outcome{})
	case *history.HistoryEvent_EventRaised:
		x.raise(e)
	case *history.HistoryEvent_ExecutionTerminated:
		x.completed = true // nothing of the author's runs again
	}
	return nil // the others are the host's business: suspend, resume, …
}

// settle ends the task of that number. What ended twice, was cancelled, or comes
// after the end is dropped.
func (x *execution) settle(id int32, k kind, o outcome) {
	if x.completed || id < 0 || int(id) >= len(x.pending) {
		return
	}
	p := &x.pending[id]
	if p.to == nil || p.kind != k {
		return
	}
	to := p.to
	p.to = nil
	to.settle(x, o)
}

func failureOrEmpty(d *history.TaskFailureDetails) *history.TaskFailureDetails {
	if d == nil {
		return &history.TaskFailureDetails{}
	}
	return d
}

// confirm checks that the code asked for what history recorded under a task
// number: same kind and, where there is one, the same name (F§1.1 O2).
func (x *execution) confirm(id int32, k kind, name string) *replayError {
	for i := x.confirmed; i < len(x.actions); i++ {
		a := x.actions[i]
		if a == nil || a.GetCancelTimer() != nil || a.Id != id {
			continue
		}
		if ak, an, _ := identity(a); ak != k || !strings.EqualFold(an, name) || a.GetCompleteOrchestration() != nil {
			return x.disagree(id, sayTask(k, name), sayAction(a))
		}
		x.actions[i] = nil
		for x.confirmed < len(x.actions) && x.actions[x.confirmed] == nil {
			x.confirmed++
		}
		return nil
	}
	return x.disagree(id, sayTask(k, name), "asked for nothing under this number")
}

// confirmEnd checks a recorded end; only exported histories hold one.
func (x *execution) confirmEnd(status history.Status) *replayError {
	for i := x.confirmed; i < len(x.actions); i++ {
		c := x.actions[i].GetCompleteOrchestration()
		if c == nil {
			continue
		}
		if c.GetOrchestrationStatus() != status {
			break
		}
		x.actions[i] = nil
		return nil
	}
	if x.completed && len(x.actions) == x.confirmed {
		return nil // terminated
	}
	code := "has not ended"
	if n := len(x.actions); n > 0 {
		code = sayAction(x.actions[n-1])
	}
	return x.disagree(int32(len(x.pending)), "ended as "+history.StatusName(status), code)
}

// disagree names both sides and the position.
func (x *execution) disagree(id int32, recorded, code string) *replayError {
	return &replayError{typeNonDeterministic, fmt.Sprintf(
		"orchestrator %q of instance %q does not repeat its history: at history event %d, task #%d, history says: %s; the code: %s. "+
			"The orchestrator's code was changed, or it uses the clock, random values, map order or other input that differs between runs",
		x.name, x.instanceID, x.index, id, recorded, code)}
}

// identity is the kind and name of an action that leaves a scheduling event.
func identity(a *history.OrchestratorAction) (kind, string, bool) {
	switch v := a.GetOrchestratorActionType().(type) {
	case *history.OrchestratorAction_ScheduleTask:
		return kindActivity, v.ScheduleTask.GetName(), true
	case *history.OrchestratorAction_CreateSubOrchestration:
		return kindChild, v.CreateSubOrchestration.GetName(), true
	case *history.OrchestratorAction_CreateTimer:
		return kindTimer, "", true
	case *history.OrchestratorAction_SendEvent:
		return kindSend, v.SendEvent.GetName(), true
	}
	return 0, "", false
}

func sayTask(k kind, name string) string {
	if name == "" {
		return "asked for a " + k.String()
	}
	return fmt.Sprintf("asked for %s %q", k, name)
}

func sayAction(a *history.OrchestratorAction) string {
	if k, name, ok := identity(a); ok {
		return sayTask(k, name)
	}
	if c := a.GetCompleteOrchestration(); c != nil {
		return "ended as " + history.StatusName(c.GetOrchestrationStatus())
	}
	return "asked for nothing"
}
