package core

import (
	"encoding/json"

	"github.com/durafunc/durafunc/taskhub/history"
)

// finish ends an instance and not only an execution: the last event, the tasks that are
// still open, the parent that awaits it, the clients that wait. id is the number of the action
// that ended it, or noTask. output is JSON text.
func (c *Core) finish(now int64, i *instance, id int32, status history.Status, output *string, fail *history.TaskFailureDetails) {
	e := newEvent(id, now)
	e.EventType = &history.HistoryEvent_ExecutionCompleted{ExecutionCompleted: &history.ExecutionCompletedEvent{
		OrchestrationStatus: status, Result: history.WrapText(output), FailureDetails: fail,
	}}
	c.append(i, e)
	c.retain(i, output)

	i.row.Status, i.row.Updated, i.row.Completed = status, now, now
	i.row.Output, i.row.Failure = output, fail
	i.row.Suspended, i.row.NonDeterministic, i.row.StartAt = "", false, 0
	delete(c.nonDeterministic, i.num)
	c.drop(i)
	c.unhold(i)
	c.closeTasks(i)
	c.consume(i, len(i.inbox))
	c.effects.Work.Evict = append(c.effects.Work.Evict, i.row.Execution)
	c.tellParent(now, i)
	c.wakeWaiters(i, nil)
}

// drop makes the episode that is out, if any, a late one.
func (c *Core) drop(i *instance) {
	if i.out != nil {
		delete(c.episodes, i.out.token.Serial)
		i.out = nil
	}
	i.sticky, i.deaths, i.row.Deaths = false, 0, 0
}

// tellParent answers the task that awaits this instance. A termination looks like a
// failure to it (F§1.5 C6).
func (c *Core) tellParent(now int64, i *instance) {
	p := i.row.Parent
	if p == nil || p.Detached {
		return
	}
	e := newEvent(noTask, now)
	switch i.row.Status {
	case history.Completed:
		e.EventType = &history.HistoryEvent_SubOrchestrationInstanceCompleted{
			SubOrchestrationInstanceCompleted: &history.SubOrchestrationInstanceCompletedEvent{
				TaskScheduledId: p.Task, Result: history.WrapText(i.row.Output),
			}}
	case history.Terminated:
		var reason string
		_ = json.Unmarshal([]byte(*i.row.Output), &reason) // quote wrote it
		e.EventType = childFailed(p.Task, failure(ErrorTypeTerminated, "%s", reason))
	default:
		e.EventType = childFailed(p.Task, i.row.Failure)
	}
	c.sendEvent(p.Instance, p.Execution, e)
}

func childFailed(task int32, f *history.TaskFailureDetails) *history.HistoryEvent_SubOrchestrationInstanceFailed {
	return &history.HistoryEvent_SubOrchestrationInstanceFailed{
		SubOrchestrationInstanceFailed: &history.SubOrchestrationInstanceFailedEvent{TaskScheduledId: task, FailureDetails: f},
	}
}

// quote is text as a JSON string.
func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return `""` // a string always marshals
	}
	return string(b)
}
