package sim

import (
	"context"
	"slices"
	"time"
)

// simContext is a context whose deadline is in virtual time. The standard library's
// cancelCtx inside keeps Done and Cause right; who waits in the world is told here, in
// order, since a channel would wake goroutines in any order.
type simContext struct {
	context.Context
	cancelStd context.CancelCauseFunc
	parent    *simContext
	children  []*simContext
	waiters   []*waiter
	err       error
	deadline  time.Time
	timer     *event
	w         *World
}

type simContextKey struct{}

// Value implements context.Context; it finds the nearest simContext.
func (c *simContext) Value(key any) any {
	if _, ok := key.(simContextKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// Err implements context.Context.
func (c *simContext) Err() error { return c.err }

// Deadline implements context.Context.
func (c *simContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func simContextOf(ctx context.Context) *simContext {
	c, _ := ctx.Value(simContextKey{}).(*simContext)
	return c
}

func (w *World) newContext(parent context.Context) *simContext {
	w.called()
	c := &simContext{w: w, parent: simContextOf(parent)}
	c.Context, c.cancelStd = context.WithCancelCause(parent)
	if c.parent != nil {
		c.deadline = c.parent.deadline
		if c.parent.err != nil {
			c.end(c.parent.err, context.Cause(c.parent))
		} else {
			c.parent.children = append(c.parent.children, c)
		}
	}
	return c
}

// end ends the context and everything below it.
func (c *simContext) end(err, cause error) {
	if c.err != nil {
		return
	}
	if cause == nil {
		cause = err
	}
	c.err = err
	c.cancelStd(cause)
	c.w.cancel(c.timer)
	for _, x := range c.waiters {
		x.wake(context.Cause(c))
	}
	children := c.children
	c.waiters, c.children = nil, nil
	for _, child := range children {
		child.end(err, cause)
	}
	if p := c.parent; p != nil {
		if n := slices.Index(p.children, c); n >= 0 {
			p.children = slices.Delete(p.children, n, n+1)
		}
	}
}

func (c *simContext) drop(x *waiter) {
	if n := slices.Index(c.waiters, x); n >= 0 {
		c.waiters = slices.Delete(c.waiters, n, n+1)
	}
}
