package sim

import (
	"context"
	"errors"
	"iter"
)

// coroutine is one goroutine of a host. iter.Pull hands control over without the Go
// scheduler, so that exactly one runs.
type coroutine struct {
	host  *Host
	index int // in host.running
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

// errKilled unwinds the coroutines of a crashed host. Their deferred calls run and
// find a host on which nothing has an effect.
var errKilled = errors.New("host has crashed")

// spawn starts f as a coroutine of h, at once.
func (h *Host) spawn(f func()) {
	c := &coroutine{host: h}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer h.w.caught()
		c.yield = yield
		f()
	})
	c.index = len(h.running)
	h.running = append(h.running, c)
	c.resume()
}

// resume lets c run until it parks or ends.
func (c *coroutine) resume() {
	w := c.host.w
	before := w.current
	w.current = c
	_, more := c.next()
	w.current = before
	if !more {
		c.host.forget(c)
	}
}

func (h *Host) forget(c *coroutine) {
	last := len(h.running) - 1
	h.running[c.index] = h.running[last]
	h.running[c.index].index = c.index
	h.running[last] = nil
	h.running = h.running[:last]
}

// park gives control away until somebody resumes the coroutine.
func (c *coroutine) park() {
	if !c.host.alive || !c.yield(struct{}{}) || !c.host.alive {
		panic(errKilled)
	}
}

// waiter is one wait of one coroutine. Whatever wakes it first counts.
type waiter struct {
	c    *coroutine
	done bool
	err  error
}

// wake lets the waiter go on, a moment later.
func (x *waiter) wake(err error) {
	if x.done {
		return
	}
	x.done, x.err = true, err
	w := x.c.host.w
	w.at(x.c.host, w.jitter(), x.c.resume)
}

// block parks the running coroutine until it is woken or ctx ends; arm arranges for
// the former. It returns what it was woken with, or ctx's cause.
func (w *World) block(ctx context.Context, arm func(x *waiter)) error {
	c := w.current
	if c == nil {
		w.fail("something blocked inside a loop or an event")
		panic(errKilled)
	}
	sc := simContextOf(ctx)
	if sc != nil && sc.err != nil {
		return context.Cause(sc)
	}
	x := &waiter{c: c}
	arm(x)
	if sc != nil {
		sc.waiters = append(sc.waiters, x)
	}
	c.park()
	if sc != nil {
		sc.drop(x)
	}
	return x.err
}
