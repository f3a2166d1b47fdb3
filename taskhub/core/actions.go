package core

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/work"
)

// fireAndForget is the tag of a child that nobody awaits (F§1.6).
const fireAndForget = "FireAndForget"

// wideFanOut is the number of children in one episode from which they spread over
// the partitions. Fewer stay with their parent, which saves two commits each (E§C6).
const wideFanOut = 8

// maxReadableID is the length from which a derived child id is hashed.
const maxReadableID = 100

// actions carries out what an episode decided, in order, and reports whether the
// execution has ended. Each action but CancelTimer and TerminateOrchestration adds
// one history event: the SDK counts them the same way.
func (c *Core) actions(now int64, i *instance, r *work.EpisodeResult) (ended bool) {
	actions := r.Actions
	children := countChildren(actions)
	var complete *history.OrchestratorAction
	for _, a := range actions {
		if opens(a) && (a.Id < 0 || i.open[a.Id] != nil) {
			c.finish(now, i, noTask, history.Failed, nil, failure(ErrorTypeInvalidAction,
				"orchestrator %q asked for task %d, a number that is taken or none", i.row.Name, a.Id))
			return true
		}
		switch k := a.OrchestratorActionType.(type) {
		case *history.OrchestratorAction_ScheduleTask:
			c.scheduleTask(now, i, a.Id, k.ScheduleTask, r.Rejected[a.Id])
		case *history.OrchestratorAction_CreateTimer:
			c.createTimer(now, i, a.Id, k.CreateTimer)
		case *history.OrchestratorAction_CancelTimer:
			if i.open[a.Id].timerDue() != 0 {
				c.closeTask(i, a.Id)
			}
		case *history.OrchestratorAction_CreateSubOrchestration:
			c.createChild(now, i, a.Id, k.CreateSubOrchestration, children >= wideFanOut, r.Rejected[a.Id])
		case *history.OrchestratorAction_SendEvent:
			c.sendExternal(now, i, a.Id, k.SendEvent)
		case *history.OrchestratorAction_TerminateOrchestration:
			t := k.TerminateOrchestration
			c.send(&Message{Kind: &Message_Terminate{Terminate: &TerminateMessage{
				Instance: t.InstanceId, Reason: t.Reason.GetValue(), Recurse: t.Recurse,
			}}}, t.InstanceId)
		case *history.OrchestratorAction_CompleteOrchestration:
			complete = a
		default:
			c.finish(now, i, a.Id, history.Failed, nil, failure(ErrorTypeInvalidAction,
				"orchestrator %q asked for an action of unknown kind; the app speaks a newer protocol than this host", i.row.Name))
			return true
		}
	}
	if complete == nil {
		return false
	}
	c.complete(now, i, complete.Id, complete.GetCompleteOrchestration())
	return true
}

func countChildren(actions []*history.OrchestratorAction) int {
	n := 0
	for _, a := range actions {
		if a.GetCreateSubOrchestration() != nil {
			n++
		}
	}
	return n
}

// opens reports whether an action opens a task under its number.
func opens(a *history.OrchestratorAction) bool {
	switch a.OrchestratorActionType.(type) {
	case *history.OrchestratorAction_ScheduleTask, *history.OrchestratorAction_CreateTimer, *history.OrchestratorAction_CreateSubOrchestration:
		return true
	}
	return false
}

func (c *Core) scheduleTask(now int64, i *instance, id int32, a *history.ScheduleTaskAction, rejected *history.TaskFailureDetails) {
	version := a.Version.GetValue()
	if version == "" {
		version = i.row.Version // F§1.3 A3
	}
	e := newEvent(id, now)
	e.EventType = &history.HistoryEvent_TaskScheduled{TaskScheduled: &history.TaskScheduledEvent{
		Name: a.Name, Version: nonEmpty(version), Input: a.Input, Tags: a.Tags, ParentTraceContext: a.ParentTraceContext,
	}}
	c.append(i, e)
	if rejected != nil {
		f := newEvent(noTask, now)
		f.EventType = &history.HistoryEvent_TaskFailed{TaskFailed: &history.TaskFailedEvent{TaskScheduledId: id, FailureDetails: rejected}}
		c.push(i, f)
		return
	}
	input := history.UnwrapText(a.Input)
	c.retain(i, input)
	t := c.addTask(i, id, &OpenTask{Kind: &OpenTask_Activity{Activity: &OpenActivity{Name: a.Name, Version: version, Input: input}}})
	c.dispatch(i, id, t, 1, 0)
}

func (c *Core) createTimer(now int64, i *instance, id int32, a *history.CreateTimerAction) {
	e := newEvent(id, now)
	e.EventType = &history.HistoryEvent_TimerCreated{TimerCreated: &history.TimerCreatedEvent{FireAt: a.FireAt}}
	c.append(i, e)
	due := max(1, nanosOf(a.FireAt))
	c.addTask(i, id, &OpenTask{Kind: &OpenTask_Timer{Timer: &OpenTimer{Due: due}}})
	c.timers.add(timerEntry{due: due, num: i.num, task: id})
}

func (c *Core) createChild(now int64, i *instance, id int32, a *history.CreateSubOrchestrationAction, spread bool, rejected *history.TaskFailureDetails) {
	_, detached := a.Tags[fireAndForget]
	child := a.InstanceId
	if child == "" {
		child = c.childID(i, id, spread)
	}
	tags := a.Tags
	if len(i.row.Tags) > 0 { // inherited, the child's own winning (F§1.5 C9)
		tags = maps.Clone(i.row.Tags)
		delete(tags, fireAndForget)
		maps.Copy(tags, a.Tags)
	}
	e := newEvent(id, now)
	e.EventType = &history.HistoryEvent_SubOrchestrationInstanceCreated{
		SubOrchestrationInstanceCreated: &history.SubOrchestrationInstanceCreatedEvent{
			InstanceId: child, Name: a.Name, Version: a.Version, Input: a.Input, ParentTraceContext: a.ParentTraceContext, Tags: tags,
		}}
	c.append(i, e)
	c.retain(i, history.UnwrapText(a.Input))
	if !detached {
		c.addTask(i, id, &OpenTask{Kind: &OpenTask_Child{Child: &OpenChild{Instance: child}}})
	}
	if err := CheckInstanceID(child); err != nil {
		rejected = failure("ArgumentError", "%v", err)
	} else if strings.EqualFold(child, i.row.Id) || strings.EqualFold(child, i.row.Parent.GetInstance()) {
		rejected = failure("ArgumentError", "a child cannot have the instance id %q of its parent or grandparent", child)
	}
	if rejected != nil {
		if !detached {
			c.closeTask(i, id)
			f := newEvent(noTask, now)
			f.EventType = childFailed(id, rejected)
			c.push(i, f)
		}
		return
	}
	c.send(&Message{Kind: &Message_Start{Start: &StartMessage{
		Id: child, Name: a.Name, Version: a.Version.GetValue(), Input: history.UnwrapText(a.Input),
		Execution: ExecutionID(i.row.Execution, strconv.Itoa(int(id)), child),
		Parent: &Parent{
			Instance: i.row.Id, Execution: i.row.Execution, Task: id, Name: i.row.Name, Detached: detached,
		},
		Tags: tags, Trace: a.ParentTraceContext,
	}}}, child)
}

// childID derives a child's id (F§14 D1): the parent's id, a mark of the execution if
// it is not the first, and the task number; hashed when long. Unless spread, a suffix
// is searched that lets it fall into this partition.
func (c *Core) childID(i *instance, task int32, spread bool) string {
	id := i.row.Id + ":" + strconv.Itoa(int(task))
	if i.row.Generation > 0 {
		id = i.row.Id + ":" + strconv.FormatUint(uint64(i.row.Generation), 10) + "." + strconv.Itoa(int(task))
	}
	if len(id) > maxReadableID {
		id = hashID(i.row.Id, i.row.Execution, strconv.Itoa(int(task)))
	}
	if spread || c.cfg.Partitions == 1 {
		return id
	}
	for n := range 16 * c.cfg.Partitions {
		try := id
		if n > 0 {
			try += "-" + strconv.Itoa(n)
		}
		if c.cfg.Place(try) == c.cfg.Partition {
			return try
		}
	}
	return id
}

func (c *Core) sendExternal(now int64, i *instance, id int32, a *history.SendEventAction) {
	target := a.Instance.GetInstanceId()
	e := newEvent(id, now)
	e.EventType = &history.HistoryEvent_EventSent{EventSent: &history.EventSentEvent{InstanceId: target, Name: a.Name, Input: a.Data}}
	c.append(i, e)
	c.retain(i, history.UnwrapText(a.Data))
	raised := newEvent(noTask, now)
	raised.EventType = &history.HistoryEvent_EventRaised{EventRaised: &history.EventRaisedEvent{Name: a.Name, Input: a.Data}}
	c.sendEvent(target, a.Instance.GetExecutionId().GetValue(), raised)
}

func (c *Core) complete(now int64, i *instance, id int32, a *history.CompleteOrchestrationAction) {
	switch a.OrchestrationStatus {
	case history.ContinuedAsNew:
		c.continueAsNew(now, i, a)
	case history.Completed:
		c.finish(now, i, id, history.Completed, history.UnwrapText(a.Result), nil)
	case history.Terminated:
		output := quote(a.Result.GetValue())
		c.finish(now, i, id, history.Terminated, &output, nil)
	default:
		f := a.FailureDetails
		if f == nil {
			f = failure("Error", "orchestrator %q failed without details", i.row.Name)
			f.IsNonRetriable = false
		}
		c.finish(now, i, id, history.Failed, nil, f)
	}
}

// continueAsNew starts the next execution under the same id: the history goes, and
// with it whatever was open; raised events that nobody consumed come along, those
// that the orchestrator had received first (F§1.10, F§14 D8).
func (c *Core) continueAsNew(now int64, i *instance, a *history.CompleteOrchestrationAction) {
	c.effects.Work.Evict = append(c.effects.Work.Evict, i.row.Execution)
	c.closeTasks(i)
	c.drop(i)
	if i.row.Chunks > 0 {
		lo := historyPrefix(i.num, i.row.Generation)
		c.batch.DeleteRange(lo, historyPrefix(i.num, i.row.Generation+1))
	}
	i.chunk, i.unapplied = nil, nil

	i.row.Execution = ExecutionID(i.row.Execution, strconv.FormatUint(uint64(i.row.Generation), 10))
	i.row.Generation++
	i.row.Position, i.row.Chunks = 0, 0
	i.row.StartAt = 0
	if v := a.NewVersion.GetValue(); v != "" {
		i.row.Version = v
	}
	later := i.inbox
	c.consume(i, len(i.inbox))
	input := history.UnwrapText(a.Result)
	if i.row.Payloads > 0 {
		c.release(now, i)
	}
	c.setInput(i, input)
	c.push(i, c.executionStarted(i, now, input, nil))
	for _, e := range a.CarryoverEvents {
		if r := e.GetEventRaised(); r != nil {
			c.retain(i, history.UnwrapText(r.Input))
			c.push(i, e)
		}
	}
	for _, e := range later {
		if e.raised && !planted.Is(planted.ForgetEvents) {
			c.carry(i, e)
		}
	}
	c.touch(i)
}

// carry gives an unconsumed event to the next execution, under a new number: it
// comes after what was pushed before it.
func (c *Core) carry(i *instance, e inboxEvent) {
	var ev history.HistoryEvent
	if err := ev.UnmarshalVT(unframe(e.framed)); err != nil {
		c.fail(fmt.Errorf("instance %q: inbox: %w", i.row.Id, err))
		return
	}
	c.retain(i, history.UnwrapText(ev.GetEventRaised().GetInput()))
	c.push(i, &ev)
}
