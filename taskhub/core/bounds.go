package core

import (
	"errors"
	"fmt"
	"iter"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/work"
)

// The outbox to one partition is at its bound from so many messages or bytes on. What one
// step adds may go beyond: it is not divided.
const (
	defaultOutboxMessages = 100_000
	defaultOutboxBytes    = 64 << 20
)

const (
	// heldAtOnce is how many held instances are tried together. More would run for nothing,
	// when the first of them fill the outbox again.
	heldAtOnce = 64
	// instanceBytes is what a new instance adds to a batch beside its events.
	instanceBytes = 256
)

// ErrBusy means that a request was refused because too much waits already. It has changed
// nothing and may be sent again, under the same id.
var ErrBusy = errors.New("too much is waiting")

// full reports whether the outbox to partition dst is at its bound.
func (c *Core) full(dst int) bool {
	o := &c.outbox[dst]
	return len(o.messages) >= c.cfg.MaxOutboxMessages || o.bytes >= c.cfg.MaxOutboxBytes
}

func (c *Core) anyFull() bool {
	for dst := range c.outbox {
		if c.full(dst) {
			return true
		}
	}
	return false
}

// fullFor is the first partition among those of ids whose outbox is at its bound.
func (c *Core) fullFor(ids iter.Seq[string]) (dst int, full bool) {
	if !c.anyFull() {
		return 0, false // nearly always: ids need not be derived
	}
	for id := range ids {
		if dst := c.cfg.Place(id); c.full(dst) {
			return dst, true
		}
	}
	return 0, false
}

// addressees are the instances that a result of i's episode sends messages to.
func (c *Core) addressees(i *instance, r *work.EpisodeResult) iter.Seq[string] {
	return func(yield func(string) bool) {
		spread := countChildren(r.Actions) >= wideFanOut
		for _, a := range r.Actions {
			target := ""
			switch k := a.OrchestratorActionType.(type) {
			case *history.OrchestratorAction_CreateSubOrchestration:
				if target = k.CreateSubOrchestration.InstanceId; target == "" {
					target = c.childID(i, a.Id, spread)
				}
			case *history.OrchestratorAction_SendEvent:
				target = k.SendEvent.Instance.GetInstanceId()
			case *history.OrchestratorAction_TerminateOrchestration:
				target = k.TerminateOrchestration.InstanceId
			}
			if target != "" && !yield(target) {
				return
			}
		}
		if parent := i.awaitedBy(); parent != "" && c.ends(i, r) {
			yield(parent)
		}
	}
}

// ends reports whether a result of i's episode ends it, so that no execution follows.
func (c *Core) ends(i *instance, r *work.EpisodeResult) bool {
	if r.Failed != nil || r.NonDeterminism != nil && c.cfg.FailNonDeterminism {
		return true
	}
	for _, a := range r.Actions {
		if k := a.GetCompleteOrchestration(); k != nil && k.OrchestrationStatus != history.ContinuedAsNew ||
			a.OrchestratorActionType == nil || opens(a) && (a.Id < 0 || i.open[a.Id] != nil) {
			return true // or fails: see actions
		}
	}
	return false
}

// awaitedBy is the instance that is told when this one ends; "": none.
func (i *instance) awaitedBy() string {
	if p := i.row.Parent; p != nil && !p.Detached {
		return p.Instance
	}
	return ""
}

// roomToEnd returns ErrBusy when a client's wish to end i would add to an outbox that is
// at its bound.
//
// What a message from another partition causes is added whatever the bound: a message that
// is refused holds up all that come after it, and two partitions whose outboxes are full
// would wait for each other for ever. The sender's bound limits how much that can be, since
// it stops as well when it gets no receipts.
func (c *Core) roomToEnd(i *instance, recurse bool) error {
	dst, full := c.fullFor(func(yield func(string) bool) {
		if parent := i.awaitedBy(); parent != "" && !yield(parent) || !recurse {
			return
		}
		for _, task := range i.openTasks() {
			if child := i.open[task].row.GetChild(); child != nil && !yield(child.Instance) {
				return
			}
		}
	})
	if full {
		return fmt.Errorf("%q: %w: %d messages for partition %d are not received yet", i.row.Id, ErrBusy, len(c.outbox[dst].messages), dst)
	}
	return nil
}

// hold discards what an episode decided, since its messages have no room in the outbox to
// dst. The episode runs again when there is: its events are still in the inbox, so that a
// recovery runs it again too.
func (c *Core) hold(i *instance, dst int) {
	i.sticky = false // the app is an episode ahead of the history
	i.held = true
	c.held[i.num] = struct{}{}
	c.outbox[dst].held = append(c.outbox[dst].held, i.num)
}

// unhold lets an instance that has ended go.
func (c *Core) unhold(i *instance) {
	i.held = false
	delete(c.held, i.num)
}

// tryHeld wakes held instances whose outbox has room, in the order in which they came.
// Each that is woken runs, and with its result this is called again: so all of them come
// to their turn, though a turn may change nothing.
func (c *Core) tryHeld(now int64) {
	if len(c.held) == 0 || planted.Is(planted.HeldForGood) {
		return
	}
	for dst := range c.outbox {
		o := &c.outbox[dst]
		room := min(heldAtOnce, c.cfg.MaxOutboxMessages-len(o.messages))
		for room > 0 && len(o.held) > 0 && !c.full(dst) {
			num := o.held[0]
			if o.held = o.held[1:]; len(o.held) == 0 {
				o.held = nil
			}
			if _, held := c.held[num]; !held {
				continue // it has ended
			}
			delete(c.held, num)
			i := c.byNum(num)
			if i == nil {
				return // state could not be read
			}
			if i.held = false; i.runnable() {
				room--
			}
			c.wake(i)
		}
	}
}

// Gathered is what waits for the next Seal: about how many bytes, and how many answers.
// Bytes that cause no commit, see Pending, do not count: nothing would let them go.
func (c *Core) Gathered() (bytes, replies int) {
	if !c.needed {
		return 0, len(c.effects.Replies)
	}
	return len(c.batch.Bytes()) + c.unwritten, len(c.effects.Replies)
}
