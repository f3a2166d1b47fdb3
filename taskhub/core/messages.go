package core

import (
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// maxSendBytes divides what one Send carries, unless it is a single message: a connection
// drops what is too much at once, and would do so each time.
const maxSendBytes = 4 << 20

// outbound is the outbox to one partition: what is committed or about to be, and
// not acknowledged.
type outbound struct {
	first    uint64 // number of messages[0]
	messages [][]byte
	bytes    int // of messages
	unsent   int // messages at the end that no Send has carried
	// held are the instances whose episodes wait for room, in order; those that have ended
	// meanwhile are not in Core.held.
	held []uint64
}

// send delivers m to the partition of an instance id: at once if that is this one,
// through the outbox if not.
func (c *Core) send(m *Message, id string) {
	dst := c.cfg.Place(id)
	if dst == c.cfg.Partition {
		c.local = append(c.local, m)
		return
	}
	b, err := m.MarshalVT()
	if err != nil {
		c.fail(fmt.Errorf("message to %q: %w", id, err))
		return
	}
	c.meta.Sent[dst]++
	c.metaDirty, c.needed = true, true
	seq := c.meta.Sent[dst]
	o := &c.outbox[dst]
	if len(o.messages) == 0 {
		o.first = seq
	}
	o.messages = append(o.messages, b)
	o.bytes += len(b)
	o.unsent++
	c.batch.Put(outboxKey(dst, seq), b)
}

// sendEvent delivers an event to an instance; with an execution, to that one only.
func (c *Core) sendEvent(instance, execution string, e *history.HistoryEvent) {
	b, err := e.MarshalVT()
	if err != nil {
		c.fail(fmt.Errorf("event to %q: %w", instance, err))
		return
	}
	payload := history.IsPayloadRef(e.GetEventRaised().GetInput().GetValue()) ||
		history.IsPayloadRef(e.GetSubOrchestrationInstanceCompleted().GetResult().GetValue())
	c.send(&Message{Kind: &Message_Event{Event: &EventMessage{
		Instance: instance, Execution: execution, Event: b, Payload: payload,
	}}}, instance)
}

// loadOutbox finds what was not acknowledged; all of it is sent again.
func (c *Core) loadOutbox(int64) error {
	for e, err := range c.state.Scan([]byte{keyOutbox}, []byte{keyOutbox + 1}) {
		if err != nil {
			return err
		}
		dst, seq := outboxOfKey(e.Key)
		if dst >= len(c.outbox) {
			return fmt.Errorf("partition %d: outbox to partition %d, which does not exist", c.cfg.Partition, dst)
		}
		o := &c.outbox[dst]
		if len(o.messages) == 0 {
			o.first = seq
		} else if seq != o.first+uint64(len(o.messages)) {
			return fmt.Errorf("partition %d: outbox to partition %d: message %d is missing", c.cfg.Partition, dst, o.first+uint64(len(o.messages)))
		}
		o.messages = append(o.messages, append([]byte(nil), e.Value...))
		o.bytes += len(e.Value)
		o.unsent++
	}
	// They are durable, so they leave at once: no commit may ever come that they could
	// leave with.
	c.collectSends()
	return nil
}

// collectSends adds what no Send has carried to the effects.
func (c *Core) collectSends() {
	for dst := range c.outbox {
		o := &c.outbox[dst]
		if o.unsent > 0 {
			at := len(o.messages) - o.unsent
			c.effects.Sends = o.sends(c.effects.Sends, dst, at, len(o.messages))
			o.unsent = 0
		}
	}
}

// sends appends messages[from:end] in portions that travel well.
func (o *outbound) sends(to []Send, dst, from, end int) []Send {
	for from < end {
		next, bytes := from, 0
		for next < end && (next == from || bytes+len(o.messages[next]) <= maxSendBytes) {
			bytes += len(o.messages[next])
			next++
		}
		to = append(to, Send{Dst: dst, First: o.first + uint64(from), Messages: o.messages[from:next:next]})
		from = next
	}
	return to
}

// Unacked is what partition dst has not acknowledged of what was sent to it, for
// sending again. Messages whose commit is not durable yet are not among it: a receiver
// that took them in would know what this partition may never have said.
func (c *Core) Unacked(dst int) []Send {
	o := &c.outbox[dst]
	n := 0
	if len(o.messages) > 0 && c.durableSent[dst] >= o.first {
		n = min(len(o.messages)-o.unsent, int(c.durableSent[dst]-o.first)+1)
	}
	return o.sends(nil, dst, 0, n)
}

// Acked takes a receipt: everything to dst up to upTo is taken in. Removing it from
// the outbox joins whatever commit comes next and causes none.
func (c *Core) Acked(dst int, upTo uint64) {
	o := &c.outbox[dst]
	for len(o.messages)-o.unsent > 0 && o.first <= upTo {
		c.batch.Delete(outboxKey(dst, o.first))
		o.first++
		o.bytes -= len(o.messages[0])
		o.messages = o.messages[1:]
	}
	if len(o.messages) == 0 {
		o.messages = nil
	}
}

// ErrGap means that messages before the first one of a Send were never received.
var ErrGap = errors.New("gap in message numbers")

// Received is the number of the last message taken in from partition src.
func (c *Core) Received(src int) uint64 { return c.meta.Received[src] }

// Messages takes in messages from partition src. Those that were taken in before
// are dropped; the mark moves in the same batch, so each takes effect once. The Ack
// leaves with the effects.
func (c *Core) Messages(now int64, src int, first uint64, messages []*Message) error {
	mark := c.meta.Received[src]
	if first > mark+1 {
		return fmt.Errorf("%w: %d from partition %d after %d", ErrGap, first, src, mark)
	}
	for n, m := range messages {
		if first+uint64(n) <= mark && (first+uint64(n) < mark || !planted.Is(planted.DedupOffByOne)) {
			continue
		}
		c.meta.Received[src]++
		c.metaDirty, c.needed = true, true
		c.deliver(now, m)
	}
	c.effects.Acks = append(c.effects.Acks, Ack{Src: src, UpTo: c.meta.Received[src]})
	c.settle(now)
	return c.err
}

// deliver lets a message take effect on an instance of this partition.
func (c *Core) deliver(now int64, m *Message) {
	switch k := m.Kind.(type) {
	case *Message_Start:
		c.deliverStart(now, k.Start)
	case *Message_Event:
		c.deliverEvent(now, k.Event)
	case *Message_Terminate:
		if i, err := c.live(k.Terminate.Instance); err == nil {
			c.terminate(now, i, k.Terminate.Reason, k.Terminate.Recurse)
		}
	}
}

// deliverStart starts a child. A live instance with that id fails the call that
// awaits the child (F§14 D4).
func (c *Core) deliverStart(now int64, s *StartMessage) {
	_, err := c.start(now, &newInstance{
		id: s.Id, name: s.Name, version: s.Version, input: s.Input, execution: s.Execution,
		tags: s.Tags, parent: s.Parent, trace: s.Trace,
	})
	if err == nil || s.Parent.Detached || c.err != nil {
		return
	}
	e := newEvent(noTask, now)
	e.EventType = childFailed(s.Parent.Task, failure(ErrorTypeInstanceExists, "cannot start child: instance %v", err))
	c.sendEvent(s.Parent.Instance, s.Parent.Execution, e)
}

// deliverEvent gives an event to an instance. Late ones are dropped: the instance
// has ended, another execution runs, or the task is closed.
func (c *Core) deliverEvent(_ int64, m *EventMessage) {
	i, err := c.live(m.Instance)
	if err != nil || m.Execution != "" && m.Execution != i.row.Execution {
		return
	}
	e := &history.HistoryEvent{}
	if err := e.UnmarshalVT(m.Event); err != nil {
		c.fail(fmt.Errorf("message to %q: %w", m.Instance, err))
		return
	}
	switch k := e.EventType.(type) {
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		if !c.childEnded(i, k.SubOrchestrationInstanceCompleted.TaskScheduledId) {
			return
		}
		c.retain(i, history.UnwrapText(k.SubOrchestrationInstanceCompleted.Result))
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		if !c.childEnded(i, k.SubOrchestrationInstanceFailed.TaskScheduledId) {
			return
		}
	case *history.HistoryEvent_EventRaised:
		c.retain(i, history.UnwrapText(k.EventRaised.Input))
	}
	c.push(i, e)
}

func (c *Core) childEnded(i *instance, task int32) bool {
	t := i.open[task]
	if t == nil || t.row.GetChild() == nil {
		return false
	}
	c.closeTask(i, task)
	return true
}
