package sim

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// NewSignal implements sched.Scheduler.
func (h *Host) NewSignal() sched.Signal {
	h.w.called()
	return &signal{w: h.w, host: h}
}

// signal is a sched.Signal; one without a host is the world's.
type signal struct {
	w       *World
	host    *Host
	fired   bool
	waiters []*waiter
}

// Fire implements sched.Signal. A crashed host fires nothing.
func (s *signal) Fire() {
	if s.fired || s.host != nil && !s.host.alive {
		return
	}
	s.fired = true
	for _, x := range s.waiters {
		x.wake(nil)
	}
	s.waiters = nil
}

// Fired implements sched.Signal.
func (s *signal) Fired() bool { return s.fired }

// Wait implements sched.Signal.
func (s *signal) Wait(ctx context.Context) error {
	if s.fired {
		// Like a select, it does not say which of two reasons it takes.
		if ctx.Err() != nil && s.w.chance(0.5) {
			return context.Cause(ctx)
		}
		return nil
	}
	var me *waiter
	err := s.w.block(ctx, func(x *waiter) {
		me = x
		s.waiters = append(s.waiters, x)
	})
	if n := slices.Index(s.waiters, me); n >= 0 {
		s.waiters = slices.Delete(s.waiters, n, n+1)
	}
	return err
}

// NewLoop implements sched.Scheduler.
func (h *Host) NewLoop(idle func()) sched.Loop { return &loop{h: h, idle: idle} }

// loop is a sched.Loop: each burst is one event of the world, which cannot block.
type loop struct {
	h         *Host
	idle      func()
	queue     []func()
	scheduled bool
	closed    bool
}

// Post implements sched.Loop.
func (l *loop) Post(f func()) {
	if l.closed || !l.h.alive {
		return
	}
	l.queue = append(l.queue, f)
	if !l.scheduled {
		l.scheduled = true
		l.h.w.at(l.h, l.h.w.jitter(), l.run)
	}
}

// Run implements sched.Loop.
func (l *loop) Run(f func()) { l.Post(f) }

func (l *loop) run() {
	l.scheduled = false
	burst := l.queue
	l.queue = nil
	for _, f := range burst {
		if l.closed {
			return
		}
		f()
	}
	if !l.closed {
		l.idle()
	}
}

// After implements sched.Loop.
func (l *loop) After(d time.Duration, f func()) sched.Timer {
	return &timer{w: l.h.w, e: l.h.w.at(l.h, l.h.real(d), func() { l.Post(f) })}
}

// Close implements sched.Loop.
func (l *loop) Close() { l.closed, l.queue = true, nil }

type timer struct {
	w *World
	e *event
}

// Stop implements sched.Timer.
func (t *timer) Stop() { t.w.cancel(t.e) }
