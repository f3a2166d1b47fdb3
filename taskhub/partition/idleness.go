package partition

import (
	"context"
	"errors"
	"sync"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// Idleness is how a partition looks to somebody who wonders whether it could hibernate. It is
// a hint: the partition may have moved on.
type Idleness struct {
	// Busy: it works, waits for work or for another partition, or somebody waits for it.
	Busy bool
	// Seq is the log record that it stands at.
	Seq uint64
	// Timer is when its next durable timer is due, in Unix nanoseconds; 0: none.
	Timer int64
}

// lastIdleness is the Idleness as of the end of the last burst of steps.
type lastIdleness struct {
	mu  sync.Mutex
	now Idleness
}

func (l *lastIdleness) note(now Idleness) {
	l.mu.Lock()
	l.now = now
	l.mu.Unlock()
}

// Idleness says how quiet the partition is. It may be called from anywhere.
func (p *Partition) Idleness() Idleness {
	p.idleness.mu.Lock()
	r := p.idleness.now
	p.idleness.mu.Unlock()
	r.Busy = r.Busy || p.calls.waiting() || p.intake.waiting()
	return r
}

// noteIdleness runs in the loop, after each burst.
func (p *Partition) noteIdleness() {
	p.idleness.note(Idleness{
		Busy: p.stopping || p.commits.inFlight || p.check.running || p.core.Busy(),
		Seq:  p.commits.at.Seq, Timer: p.core.NextTimer(),
	})
}

// Hibernate ends the partition like Stop, until a timer or a request needs it. The root that
// it leaves says when that is: wakeAt, in Unix nanoseconds, the next timer or at once if
// something was begun after all; 0 if there is no timer. A last checkpoint is taken only if
// recovery would have more than one record to replay. An error leaves open whether the
// partition is released.
func (p *Partition) Hibernate(ctx context.Context) (wakeAt int64, err error) {
	wakeAt, err = p.stopGracefully(ctx, false)
	if err == nil && p.err != nil {
		err = p.err
	}
	return wakeAt, err
}

// stopGracefully stops a partition in good order. clean says that the next owner should have
// nothing to replay.
func (p *Partition) stopGracefully(ctx context.Context, clean bool) (wakeAt int64, err error) {
	p.Quiesce(stopPatience)
	err = p.drained.Wait(ctx)
	if err == nil && !p.done.Fired() {
		wakeAt, err = p.wanted(ctx)
	}
	if err == nil && !p.done.Fired() {
		err = p.release(ctx, wakeAt, clean)
	}
	if p.done.Fired() {
		return wakeAt, p.err
	}
	p.loop.Post(func() {
		if p.err == nil && !p.done.Fired() {
			p.end()
		}
	})
	return wakeAt, errors.Join(err, p.done.Wait(ctx))
}

// wanted is when a drained partition has to be served again: see Root.WakeAt.
func (p *Partition) wanted(ctx context.Context) (wakeAt int64, err error) {
	known := p.cfg.Sched.NewSignal()
	p.loop.Post(func() {
		if !p.done.Fired() {
			if p.core.Busy() {
				wakeAt = p.now()
			} else {
				wakeAt = p.core.WakeAt()
			}
		}
		known.Fire()
	})
	forget := p.Track(func(error) { known.Fire() }) // the loop does not run any more
	defer forget()
	if err := known.Wait(ctx); err != nil {
		return 0, err
	}
	if planted.Is(planted.NoWakeAt) {
		return 0, nil
	}
	return wakeAt, nil
}
