package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// Host is one life of one host process: a sched.Scheduler whose clocks and coroutines
// can be frozen and ended. A restarted host is a new Host.
type Host struct {
	w           *World
	name        string
	alive       bool
	frozenUntil time.Duration
	rng         *rand.Rand
	wall        time.Duration // by how much its wall clock was ahead when it booted
	monoLag     time.Duration // how long its boot clock stood still
	booted      time.Duration
	drift       float64        // by which share its clocks are too fast
	told        time.Duration  // by how much the bucket's last answer said that its wall clock is ahead
	damaged     map[string]int // answers about an object that came damaged
	running     []*coroutine
	died        sched.Signal // of the world, fires when the host crashes
}

var _ sched.Scheduler = (*Host)(nil)

// NewHost boots a host whose wall clock is ahead of the world's by wall.
func (w *World) NewHost(name string, wall time.Duration) *Host {
	h := &Host{w: w, name: name, alive: true, wall: wall, booted: w.now, rng: rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()))}
	h.died = &signal{w: w}
	w.hosts = append(w.hosts, h)
	return h
}

// Now implements sched.Scheduler.
func (h *Host) Now() time.Time { return beginning.Add(h.w.now + h.ahead()) }

// ahead is by how much the wall clock is ahead of the world's.
func (h *Host) ahead() time.Duration { return h.wall + h.drifted() }

func (h *Host) drifted() time.Duration {
	if h.drift == 0 {
		return 0
	}
	return time.Duration(h.drift * float64(h.w.now-h.booted))
}

// real is how long d on the host's clocks is in the world's.
func (h *Host) real(d time.Duration) time.Duration {
	if h.drift == 0 {
		return d
	}
	return time.Duration(float64(d) / (1 + h.drift))
}

// Mono implements sched.Scheduler.
func (h *Host) Mono() time.Duration { return h.w.now + h.drifted() - h.monoLag }

// Random implements sched.Scheduler.
func (h *Host) Random(b []byte) {
	for i := range b {
		b[i] = byte(h.rng.Uint32())
	}
}

// Go implements sched.Scheduler.
func (h *Host) Go(f func()) { h.w.at(h, h.w.jitter(), func() { h.spawn(f) }) }

// Sleep implements sched.Scheduler.
func (h *Host) Sleep(ctx context.Context, d time.Duration) error {
	var e *event
	err := h.w.block(ctx, func(x *waiter) { e = h.w.at(h, h.real(d), func() { x.wake(nil) }) })
	h.w.cancel(e)
	return err
}

// WithTimeout implements sched.Scheduler.
func (h *Host) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := h.w.newContext(ctx)
	d = h.real(d)
	if at := beginning.Add(h.w.now + d); c.deadline.IsZero() || at.Before(c.deadline) {
		c.deadline = at
	}
	if c.err == nil {
		c.timer = h.w.at(h, d, func() { c.end(context.DeadlineExceeded, nil) })
	}
	return c, func() { c.end(context.Canceled, nil) }
}

// WithCancel implements sched.Scheduler.
func (h *Host) WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	c := h.w.newContext(ctx)
	return c, func(cause error) { c.end(context.Canceled, cause) }
}

// crash ends the host where it stands. It must be called from an event of the world.
func (h *Host) crash() {
	if !h.alive {
		return
	}
	if h.w.current != nil {
		panic(fmt.Sprintf("host %s is crashed from inside a coroutine", h.name))
	}
	h.w.tracef("%s crashes", h.name)
	h.kill()
	h.died.Fire()
}

// kill unwinds the host's coroutines.
func (h *Host) kill() {
	h.alive = false
	for len(h.running) > 0 {
		c := h.running[len(h.running)-1]
		h.w.current = c
		c.stop()
		h.w.current = nil
		h.forget(c)
	}
}

// freeze stops everything of the host for d; stopMono stops its boot clock as well, as
// some hypervisors do.
func (h *Host) freeze(d time.Duration, stopMono bool) {
	h.w.tracef("%s freezes for %v (boot clock stands still: %v)", h.name, d, stopMono)
	h.frozenUntil = max(h.frozenUntil, h.w.now+d)
	if stopMono {
		h.monoLag += d
	}
}

// frozen reports whether the host stands still now.
func (h *Host) frozen() bool { return h.w.now < h.frozenUntil }
