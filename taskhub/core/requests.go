package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// Start is a client's wish for a new instance.
type Start struct {
	ID        string
	Name      string
	Version   string
	Input     *string // JSON or payload reference
	Execution string  // fresh: 32 hex digits
	StartAt   int64   // Unix nanoseconds; 0: now
	Tags      map[string]string
	// Reply is called once, after the commit.
	Reply func(replaced bool, err error)
}

// Start creates an instance. The decision is the partition's alone, so it is atomic
// (F§14 K5): a live id is ErrInstanceExists, a finished instance is replaced.
func (c *Core) Start(now int64, s *Start) {
	if c.err != nil {
		return
	}
	replaced, err := c.start(now, &newInstance{
		id: s.ID, name: s.Name, version: s.Version, input: s.Input,
		execution: s.Execution, startAt: s.StartAt, tags: s.Tags,
	})
	c.decided(replaced, err)
	c.reply(func() { s.Reply(replaced, err) })
	c.settle(now)
}

// newInstance is what an instance starts from, whoever asked.
type newInstance struct {
	id, name, version string
	input             *string
	execution         string
	startAt           int64
	tags              map[string]string
	parent            *Parent
	trace             *history.TraceContext
}

func (c *Core) start(now int64, n *newInstance) (replaced bool, err error) {
	generation := uint32(0)
	if old := c.find(n.id); old != nil {
		if !old.terminal() && (!c.cfg.ReplaceRunning || n.parent != nil) {
			return false, fmt.Errorf("%q: %w", n.id, ErrInstanceExists)
		}
		if !old.terminal() {
			if err := c.roomToEnd(old, false); err != nil {
				return false, err
			}
			c.terminate(now, old, "replaced by a new instance with the same id", false)
		}
		// Children are named after the generation, so those of the new instance
		// cannot meet those of the old one.
		generation = old.row.Generation + 1
		c.purge(now, old)
		replaced = true
	}
	if c.err != nil {
		return false, c.err
	}
	c.meta.NextInstance++
	c.metaDirty = true
	i := &instance{num: c.meta.NextInstance, open: map[int32]*openTask{}, isNew: true}
	i.row = InstanceRow{
		Id: n.id, Name: n.name, Version: n.version, Execution: n.execution, Generation: generation,
		Status: history.Pending, Created: now, Updated: now, Parent: n.parent, Tags: n.tags,
	}
	c.cache.add(i)
	c.unwritten += instanceBytes
	c.setInput(i, n.input)
	if n.startAt > now {
		i.row.StartAt = n.startAt
		c.addTask(i, startTask, &OpenTask{Kind: &OpenTask_Timer{Timer: &OpenTimer{Due: n.startAt}}})
		c.timers.add(timerEntry{due: n.startAt, num: i.num, task: startTask})
	}
	c.push(i, c.executionStarted(i, now, n.input, n.trace))
	return replaced, nil
}

// setInput records an instance's input, beside its row when it is big.
func (c *Core) setInput(i *instance, input *string) {
	c.retain(i, input)
	i.row.Input, i.row.BigInput, i.newInput = input, false, nil
	if input != nil && len(*input) > bigInput {
		i.row.Input, i.row.BigInput, i.newInput = nil, true, input
		c.unwritten += len(*input)
	}
}

// executionStarted is the first fact of an execution.
func (c *Core) executionStarted(i *instance, now int64, input *string, trace *history.TraceContext) *history.HistoryEvent {
	started := &history.ExecutionStartedEvent{
		Name: i.row.Name, Version: nonEmpty(i.row.Version), Input: history.WrapText(input),
		OrchestrationInstance: &history.OrchestrationInstance{InstanceId: i.row.Id, ExecutionId: nonEmpty(i.row.Execution)},
		ParentTraceContext:    trace,
		Tags:                  i.row.Tags,
	}
	if p := i.row.Parent; p != nil {
		started.ParentInstance = &history.ParentInstanceInfo{
			TaskScheduledId: p.Task, Name: nonEmpty(p.Name),
			OrchestrationInstance: &history.OrchestrationInstance{InstanceId: p.Instance, ExecutionId: nonEmpty(p.Execution)},
		}
	}
	if i.row.StartAt != 0 {
		started.ScheduledStartTimestamp = &timestamppb.Timestamp{Seconds: i.row.StartAt / 1e9, Nanos: int32(i.row.StartAt % 1e9)}
	}
	e := newEvent(noTask, now)
	e.EventType = &history.HistoryEvent_ExecutionStarted{ExecutionStarted: started}
	return e
}

// live finds an instance that has not ended.
func (c *Core) live(id string) (*instance, error) {
	i := c.find(id)
	switch {
	case c.err != nil:
		return nil, c.err
	case i == nil:
		return nil, fmt.Errorf("%q: %w", id, ErrNotFound)
	case i.terminal():
		return nil, fmt.Errorf("%q: %w as %s", id, ErrTerminal, history.StatusName(i.row.Status))
	}
	return i, nil
}

// Raise delivers an external event.
func (c *Core) Raise(now int64, id, name string, data *string, reply func(error)) {
	i, err := c.live(id)
	if err == nil {
		c.raise(i, now, name, data)
	}
	c.decided(false, err)
	c.reply(func() { reply(err) })
}

func (c *Core) raise(i *instance, now int64, name string, data *string) {
	c.retain(i, data)
	e := newEvent(noTask, now)
	e.EventType = &history.HistoryEvent_EventRaised{EventRaised: &history.EventRaisedEvent{Name: name, Input: history.WrapText(data)}}
	c.push(i, e)
}

// Terminate ends an instance, and its children when recurse is set. It is ErrBusy when the
// messages that takes have no room in an outbox.
func (c *Core) Terminate(now int64, id, reason string, recurse bool, reply func(error)) {
	i, err := c.live(id)
	if err == nil {
		err = c.roomToEnd(i, recurse)
	}
	if err == nil {
		c.terminate(now, i, reason, recurse)
	}
	c.decided(false, err)
	c.reply(func() { reply(err) })
	c.settle(now)
}

func (c *Core) terminate(now int64, i *instance, reason string, recurse bool) {
	if recurse {
		for _, task := range i.openTasks() {
			if child := i.open[task].row.GetChild(); child != nil {
				c.send(&Message{Kind: &Message_Terminate{Terminate: &TerminateMessage{
					Instance: child.Instance, Reason: reason, Recurse: true,
				}}}, child.Instance)
			}
		}
	}
	e := newEvent(noTask, now)
	e.EventType = &history.HistoryEvent_ExecutionTerminated{ExecutionTerminated: &history.ExecutionTerminatedEvent{
		Input: nonEmpty(reason), Recurse: recurse,
	}}
	c.append(i, e)
	output := quote(reason)
	c.finish(now, i, noTask, history.Terminated, &output, nil)
}

// Suspend holds an instance: what arrives is kept, nothing of it runs (F§1.14).
func (c *Core) Suspend(now int64, id, reason string, reply func(error)) {
	i, err := c.live(id)
	if err == nil && i.row.Status == history.Suspended {
		err = fmt.Errorf("%q: %w: already suspended", id, ErrInvalidState)
	}
	if err == nil {
		e := newEvent(noTask, now)
		e.EventType = &history.HistoryEvent_ExecutionSuspended{ExecutionSuspended: &history.ExecutionSuspendedEvent{Input: nonEmpty(reason)}}
		c.suspend(now, i, reason)
		c.push(i, e)
	}
	c.decided(false, err)
	c.reply(func() { reply(err) })
}

func (c *Core) suspend(now int64, i *instance, reason string) {
	i.row.Status, i.row.Suspended, i.row.Updated = history.Suspended, reason, now
	c.touch(i)
}

// Resume lets a suspended instance go on; what arrived meanwhile follows in order.
func (c *Core) Resume(now int64, id, reason string, reply func(error)) {
	i, err := c.live(id)
	if err == nil && i.row.Status != history.Suspended {
		err = fmt.Errorf("%q: %w: not suspended", id, ErrInvalidState)
	}
	if err == nil {
		e := newEvent(noTask, now)
		e.EventType = &history.HistoryEvent_ExecutionResumed{ExecutionResumed: &history.ExecutionResumedEvent{Input: nonEmpty(reason)}}
		c.push(i, e)
		c.resume(now, i)
	}
	c.decided(false, err)
	c.reply(func() { reply(err) })
}

func (c *Core) resume(now int64, i *instance) {
	i.row.Status, i.row.Suspended, i.row.Updated = history.Running, "", now
	if i.row.Position == 0 {
		i.row.Status = history.Pending
	}
	i.row.NonDeterministic, i.row.Deaths, i.deaths, i.sticky = false, 0, 0, false
	delete(c.nonDeterministic, i.num)
	c.touch(i)
	c.wake(i)
}

// Reconsider lets the instances go on that were held because replay disagreed with
// history: a new version of the app may be the right one (F§14 O2).
func (c *Core) Reconsider(now int64) {
	nums := make([]uint64, 0, len(c.nonDeterministic))
	for num := range c.nonDeterministic {
		nums = append(nums, num)
	}
	slices.Sort(nums)
	for _, num := range nums {
		if i := c.byNum(num); i != nil && i.row.NonDeterministic {
			c.resume(now, i)
		}
	}
}

// Purge removes a finished instance with all that belongs to it (F§14 D10).
func (c *Core) Purge(now int64, id string, reply func(error)) {
	i := c.find(id)
	err := c.err
	switch {
	case err != nil:
	case i == nil:
		err = fmt.Errorf("%q: %w", id, ErrNotFound)
	case !i.terminal():
		err = fmt.Errorf("%q: %w: it is %s, and only finished instances are purged", id, ErrInvalidState,
			history.StatusName(i.row.Status))
	default:
		c.purge(now, i)
	}
	c.decided(false, err)
	c.reply(func() { reply(err) })
}

func (c *Core) purge(now int64, i *instance) {
	c.release(now, i)
	c.batch.Delete(idKey(i.row.Id))
	c.batch.Delete(numKey(keyInstance, i.num))
	c.batch.Delete(numKey(keyInput, i.num))
	for _, kind := range []byte{keyHistory, keyInbox, keyTask} {
		c.batch.DeleteRange(numKey(kind, i.num), numKey(kind, i.num+1))
	}
	c.touch(i)
	i.deleted = true
	c.wakeWaiters(i, fmt.Errorf("%q: %w: purged", i.row.Id, ErrNotFound))
	c.cache.remove(i)
	c.tombstones[i.row.Id] = c.sealed + 1
}

// Wait answers w once the instance has ended and that is committed.
func (c *Core) Wait(id string, w *Waiter) {
	i := c.find(id)
	switch {
	case c.err != nil:
	case i == nil:
		err := fmt.Errorf("%q: %w", id, ErrNotFound)
		c.reply(func() { w.Done(err) })
	case i.terminal():
		c.reply(func() { w.Done(nil) })
	default:
		i.waiters = append(i.waiters, w)
	}
}

// Unwait forgets a waiter that gave up.
func (c *Core) Unwait(id string, w *Waiter) {
	if i := c.cache.byID[id]; i != nil {
		i.waiters = slices.DeleteFunc(i.waiters, func(x *Waiter) bool { return x == w })
	}
}

func (c *Core) wakeWaiters(i *instance, err error) {
	for _, w := range i.waiters {
		c.reply(func() { w.Done(err) })
	}
	i.waiters = nil
}
