package partition

import (
	"fmt"
	"sync/atomic"

	"github.com/durafunc/durafunc/taskhub/core"
)

// Limits bound what a partition keeps in memory, so that a store or a neighbour that does
// not answer costs refusals and delays, and no memory. Zero fields are defaults.
type Limits struct {
	// OutboxMessages and OutboxBytes: see core.Config.
	OutboxMessages, OutboxBytes int
	// IntakeBytes and IntakeReplies bound what waits for a commit, and what is in the one
	// under way: changes in bytes, 16 MiB by default, and answers, 50,000. Beyond that
	// requests that change something are core.ErrBusy, messages of other partitions are not
	// taken in, and no episodes are handed out, until half of it is left. Timers and results
	// of work that is out are always taken.
	IntakeBytes, IntakeReplies int
}

const (
	defaultIntakeBytes   = 16 << 20
	defaultIntakeReplies = 50_000
)

func (l Limits) withDefaults() Limits {
	if l.IntakeBytes == 0 {
		l.IntakeBytes = defaultIntakeBytes
	}
	if l.IntakeReplies == 0 {
		l.IntakeReplies = defaultIntakeReplies
	}
	return l
}

// load is how much waits for the store.
type load struct {
	limits Limits
	over   atomic.Bool  // more than the limits, and not yet back to half of them
	stored atomic.Int64 // bytes of requests whose payloads are being stored
	// Owned by the loop: the commit that is under way.
	bytes, replies int
}

// commits counts what a commit takes along, until it has come back.
func (l *load) commits(s *core.Sealed) { l.bytes, l.replies = len(s.Batch), len(s.Effects.Replies) }

// overLimit finds out, in the loop, whether the partition has more than it should.
func (p *Partition) overLimit() (over bool) {
	l := &p.load
	bytes, replies := p.core.Gathered()
	bytes, replies = bytes+l.bytes, replies+l.replies
	if l.over.Load() {
		bytes, replies = 2*bytes, 2*replies
	}
	over = bytes > l.limits.IntakeBytes || replies > l.limits.IntakeReplies
	l.over.Store(over)
	return over
}

func (p *Partition) busy() error {
	return fmt.Errorf("%w: partition %d waits for its store", core.ErrBusy, p.cfg.N)
}

// Admit is asked, from any goroutine, before a payload of so many bytes is stored for a
// request that changes something: core.ErrBusy when too much waits already. What is
// admitted counts until leave is called.
func (p *Partition) Admit(bytes int) (leave func(), err error) {
	l := &p.load
	stored := l.stored.Add(int64(bytes))
	leave = func() { l.stored.Add(-int64(bytes)) }
	// A payload may be larger than the limit, if it is alone.
	if !p.done.Fired() && (l.over.Load() || stored > int64(max(bytes, l.limits.IntakeBytes))) {
		leave()
		return nil, p.busy()
	}
	return leave, nil
}

// Room is asked by the step of a request that changes something, before it does:
// core.ErrBusy when too much waits for a commit already. Only in a step, see Do.
func (p *Partition) Room() error {
	if p.overLimit() {
		return p.busy()
	}
	return nil
}
