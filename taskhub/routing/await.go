package routing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// step is one step of a partition's core. It calls reply once, after the commit.
type step func(c *core.Core, now int64, reply func(core.Answer))

// call is one request under way in a partition.
type call struct {
	done   sched.Signal
	begun  atomic.Bool
	once   sync.Once
	answer core.Answer
}

// end takes the first answer: the partition's, or that it has stopped.
func (c *call) end(a core.Answer) {
	c.once.Do(func() {
		c.answer = a
		c.done.Fire()
	})
}

// refuse ends a call that was not begun.
func (c *call) refuse(err error) { c.end(core.Answer{Err: fmt.Errorf("%w: %w", errNotServing, err)}) }

// await runs a step and waits for its answer. errNotServing means that it was not begun.
func (r *Router) await(ctx context.Context, p *partition.Partition, s step) (core.Answer, error) {
	c := &call{done: r.cfg.Sched.NewSignal()}
	p.DoInline(func(core *core.Core, now int64) {
		c.begun.Store(true)
		s(core, now, c.end)
	}, c.refuse)
	forget := p.Track(func(err error) {
		if !c.begun.Load() { // nor will it be: steps are refused from before this is told
			c.refuse(err)
			return
		}
		c.end(core.Answer{Err: err})
	})
	defer forget()
	if err := c.done.Wait(ctx); err != nil {
		return core.Answer{}, err
	}
	return c.answer, unavailable(c.answer.Err)
}

// change makes a step that changes something: once, if the request has an id; and not at
// all, with core.ErrBusy, when too much waits for a commit.
func (r *Router) change(ctx context.Context, p *partition.Partition, q core.Request, s step) (*transport.Response, error) {
	a, err := r.await(ctx, p, func(c *core.Core, now int64, reply func(core.Answer)) {
		if err := p.Room(); err != nil {
			reply(core.Answer{Err: err})
			return
		}
		if q.ID == "" {
			s(c, now, reply)
			return
		}
		c.Once(now, q, reply, func() { s(c, now, reply) })
	})
	if err != nil {
		return nil, err
	}
	return &transport.Response{Replaced: a.Replaced}, nil
}

// put stores the payload of a request if it is large, and answers what stands for it.
func put(ctx context.Context, p *partition.Partition, payload *string) (*string, error) {
	bytes := 0
	if payload != nil {
		bytes = len(*payload)
	}
	leave, err := p.Admit(bytes)
	if err != nil {
		return nil, err
	}
	defer leave()
	payload, err = p.Payloads().Put(ctx, payload)
	return payload, unavailable(err)
}

// unavailable marks the errors that come from a partition that moved or stopped.
func unavailable(err error) error {
	if errors.Is(err, errNotServing) {
		return err
	}
	if errors.Is(err, partition.ErrStopped) || errors.Is(err, partition.ErrFenced) || errors.Is(err, lease.ErrLost) || errors.Is(err, ownership.ErrStopped) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
