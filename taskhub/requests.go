package taskhub

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
)

var _ Client = (*Hub)(nil)

// holdFor is how long a request waits for its partition to be served: a restart or a
// takeover is a pause, not an error.
const holdFor = 5 * time.Second

// await finds the partition of an instance id, waiting a little until it is served.
func (h *Hub) await(ctx context.Context, n int) (*partition.Partition, error) {
	if o := h.owned(n); o.serving() {
		return o.part, nil // without a timer: this is every request but a few
	}
	hold, cancel := h.opts.Sched.WithTimeout(ctx, holdFor)
	defer cancel()
	for {
		o := h.owned(n)
		if o.serving() {
			return o.part, nil
		}
		if o.state == Stopped || o.state == Parked || o.changed.Wait(hold) != nil {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("%w: partition %d is %s: %s", ErrUnavailable, n, o.state, o.detail)
		}
	}
}

func (h *Hub) owned(n int) owned {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[n]
}

// serving is false for one that has just stopped: who serves next is not known yet.
func (o *owned) serving() bool { return o.part != nil && !o.part.Done().Fired() }

// call is one request under way in a partition.
type call struct {
	done sched.Signal
	once sync.Once
	err  error
}

// end takes the first answer: the partition's, or that it has stopped.
func (c *call) end(err error) {
	c.once.Do(func() {
		c.err = err
		c.done.Fire()
	})
}

// request asks the partition of instance id to op, and waits for the answer, which comes
// after the commit. step makes one step of its core, which must call reply once.
func (h *Hub) request(ctx context.Context, op, id string, step func(c *core.Core, now int64, reply func(error))) error {
	rid, err := requestID(ctx)
	if err != nil {
		return err
	}
	p, err := h.await(ctx, h.place.of(id))
	if err != nil {
		return err
	}
	return h.do(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		once(c, now, core.Request{ID: rid, Op: op, Instance: id}, reply, func() { step(c, now, reply) })
	})
}

func (h *Hub) do(ctx context.Context, p *partition.Partition, step func(c *core.Core, now int64, reply func(error))) error {
	c := &call{done: h.opts.Sched.NewSignal()}
	forget := p.Track(c.end)
	defer forget()
	p.Do(func(core *core.Core, now int64) { step(core, now, c.end) }, c.end)
	if err := c.done.Wait(ctx); err != nil {
		return err
	}
	return unavailable(c.err)
}

// unavailable marks the errors that come from a partition that moved or stopped.
func unavailable(err error) error {
	if errors.Is(err, partition.ErrStopped) || errors.Is(err, partition.ErrFenced) || errors.Is(err, lease.ErrLost) || errors.Is(err, ErrStopped) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Start implements Client.
func (h *Hub) Start(ctx context.Context, r StartRequest) (StartResult, error) {
	rid, err := requestID(ctx)
	if err != nil {
		return StartResult{}, err
	}
	var random [16]byte
	h.opts.Sched.Random(random[:])
	switch {
	case r.ID == "" && rid != "":
		r.ID = core.InstanceOfRequest(rid)
	case r.ID == "":
		r.ID = hex.EncodeToString(random[:])
		h.opts.Sched.Random(random[:])
	}
	if err := core.CheckInstanceID(r.ID); err != nil {
		return StartResult{}, err
	}
	if r.Name == "" {
		return StartResult{}, fmt.Errorf("%w: no orchestrator is named", ErrInvalidArgument)
	}
	if err := h.checkPayload("input", r.Input); err != nil {
		return StartResult{}, err
	}
	result := StartResult{ID: r.ID}
	startAt := int64(0)
	if !r.StartAt.IsZero() {
		startAt = r.StartAt.UnixNano()
	}
	p, err := h.await(ctx, h.place.of(r.ID))
	if err != nil {
		return StartResult{}, err
	}
	input, err := p.Payloads().Put(ctx, r.Input)
	if err != nil {
		return StartResult{}, err
	}
	err = h.do(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		start := &core.Start{
			ID: r.ID, Name: r.Name, Version: r.Version, Input: input, Execution: hex.EncodeToString(random[:]),
			StartAt: startAt, Tags: r.Tags,
			Reply: func(replaced bool, err error) {
				result.Replaced = replaced
				reply(err)
			},
		}
		if rid == "" {
			c.Start(now, start)
			return
		}
		again := func(a core.Answer) { start.Reply(a.Replaced, a.Err) }
		c.Once(now, core.Request{ID: rid, Op: "start", Name: r.Name, Instance: r.ID}, again, func() { c.Start(now, start) })
	})
	return result, err
}

// checkPayload refuses what could not be stored or is no JSON.
func (h *Hub) checkPayload(what string, payload *string) error {
	switch {
	case payload == nil:
		return nil
	case len(*payload) > h.opts.MaxPayload:
		return fmt.Errorf("%s: %w: %d bytes, maxPayloadBytes is %d", what, ErrPayloadTooLarge, len(*payload), h.opts.MaxPayload)
	case !json.Valid([]byte(*payload)):
		return fmt.Errorf("%w: %s is not JSON", ErrInvalidArgument, what)
	}
	return nil
}

// Wait implements Client. It outlives the partition's move to another epoch.
func (h *Hub) Wait(ctx context.Context, id string) (*Instance, error) {
	for {
		p, err := h.await(ctx, h.place.of(id))
		if err != nil {
			return nil, err
		}
		var w *core.Waiter
		err = h.do(ctx, p, func(c *core.Core, _ int64, reply func(error)) {
			w = &core.Waiter{Done: reply}
			c.Wait(id, w)
		})
		switch {
		case err == nil:
			return h.Get(ctx, id, GetOptions{Payloads: true})
		case ctx.Err() != nil:
			p.Do(func(c *core.Core, _ int64) {
				if w != nil {
					c.Unwait(id, w)
				}
			}, func(error) {})
			return nil, err
		case !errors.Is(err, ErrUnavailable) || h.isStopping():
			return nil, err
		}
	}
}

// RaiseEvent implements Client.
func (h *Hub) RaiseEvent(ctx context.Context, id, name string, data *string) error {
	if name == "" {
		return fmt.Errorf("%w: the event has no name", ErrInvalidArgument)
	}
	if err := h.checkPayload("event data", data); err != nil {
		return err
	}
	rid, err := requestID(ctx)
	if err != nil {
		return err
	}
	p, err := h.await(ctx, h.place.of(id))
	if err != nil {
		return err
	}
	data, err = p.Payloads().Put(ctx, data)
	if err != nil {
		return err
	}
	return h.do(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		once(c, now, core.Request{ID: rid, Op: "raise", Name: name, Instance: id}, reply, func() { c.Raise(now, id, name, data, reply) })
	})
}

// Terminate implements Client.
func (h *Hub) Terminate(ctx context.Context, id, reason string, recursive bool) error {
	return h.request(ctx, "terminate", id, func(c *core.Core, now int64, reply func(error)) {
		c.Terminate(now, id, reason, recursive, reply)
	})
}

// Suspend implements Client.
func (h *Hub) Suspend(ctx context.Context, id, reason string) error {
	return h.request(ctx, "suspend", id, func(c *core.Core, now int64, reply func(error)) {
		c.Suspend(now, id, reason, reply)
	})
}

// Resume implements Client.
func (h *Hub) Resume(ctx context.Context, id, reason string) error {
	return h.request(ctx, "resume", id, func(c *core.Core, now int64, reply func(error)) {
		c.Resume(now, id, reason, reply)
	})
}

// Purge implements Client.
func (h *Hub) Purge(ctx context.Context, id string) error {
	return h.request(ctx, "purge", id, func(c *core.Core, now int64, reply func(error)) {
		c.Purge(now, id, reply)
	})
}
