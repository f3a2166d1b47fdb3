package taskhub

import (
	"context"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// answer is what a request is answered with; which fields count depends on the request.
type answer struct {
	replaced  bool
	instance  *Instance
	events    []*history.HistoryEvent
	instances []*Instance
	after     uint64
	more      bool
	purged    int
}

// execute answers a request in a partition that this host serves.
func (h *Hub) execute(ctx context.Context, p *partition.Partition, r *transport.Request) (*answer, error) {
	h.sleep.begun.Add(1)
	defer h.sleep.ended.Add(1)
	a := &answer{}
	switch op := r.Op.(type) {
	case *transport.Request_Start:
		return a, h.start(ctx, p, r.RequestId, op.Start, a)
	case *transport.Request_RaiseEvent:
		e := op.RaiseEvent
		data, err := h.put(ctx, p, e.Data)
		if err != nil {
			return nil, err
		}
		return a, h.once(ctx, p, core.Request{ID: r.RequestId, Op: "raise", Name: e.Name, Instance: e.Instance},
			func(c *core.Core, now int64, reply func(error)) { c.Raise(now, e.Instance, e.Name, data, reply) })
	case *transport.Request_Terminate:
		t := op.Terminate
		return a, h.once(ctx, p, core.Request{ID: r.RequestId, Op: "terminate", Instance: t.Instance},
			func(c *core.Core, now int64, reply func(error)) {
				c.Terminate(now, t.Instance, t.Reason, t.Recursive, reply)
			})
	case *transport.Request_Suspend:
		n := op.Suspend
		return a, h.once(ctx, p, core.Request{ID: r.RequestId, Op: "suspend", Instance: n.Instance},
			func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, n.Instance, n.Reason, reply) })
	case *transport.Request_Resume:
		n := op.Resume
		return a, h.once(ctx, p, core.Request{ID: r.RequestId, Op: "resume", Instance: n.Instance},
			func(c *core.Core, now int64, reply func(error)) { c.Resume(now, n.Instance, n.Reason, reply) })
	case *transport.Request_Purge:
		return a, h.once(ctx, p, core.Request{ID: r.RequestId, Op: "purge", Instance: op.Purge},
			func(c *core.Core, now int64, reply func(error)) { c.Purge(now, op.Purge, reply) })
	case *transport.Request_PurgeSome:
		return a, h.purgeSome(ctx, p, op.PurgeSome.Query, a)
	case *transport.Request_Get:
		return a, h.get(ctx, p, op.Get, a)
	case *transport.Request_Wait:
		return a, h.wait(ctx, p, op.Wait)
	case *transport.Request_History:
		return a, h.history(ctx, p, op.History, a)
	case *transport.Request_List:
		return a, h.list(ctx, p, op.List, a)
	}
	return nil, fmt.Errorf("%w: a request that this version does not know: %T", ErrInvalidArgument, r.Op)
}

// alter is do for a step that changes something: ErrBusy, at once, when too much waits.
func (h *Hub) alter(ctx context.Context, p *partition.Partition, step func(c *core.Core, now int64, reply func(error))) error {
	return h.do(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		if err := p.Room(); err != nil {
			reply(err)
			return
		}
		step(c, now, reply)
	})
}

// put stores the payload of a request if it is large, and answers what stands for it.
func (h *Hub) put(ctx context.Context, p *partition.Partition, payload *string) (*string, error) {
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

// once makes a step of the core, as a request with an id if it has one.
func (h *Hub) once(ctx context.Context, p *partition.Partition, r core.Request, step func(c *core.Core, now int64, reply func(error))) error {
	if r.ID == "" {
		return h.alter(ctx, p, step)
	}
	return h.alter(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		c.Once(now, r, func(a core.Answer) { reply(a.Err) }, func() { step(c, now, reply) })
	})
}

func (h *Hub) start(ctx context.Context, p *partition.Partition, rid string, s *transport.Start, a *answer) error {
	input, err := h.put(ctx, p, s.Input)
	if err != nil {
		return err
	}
	return h.alter(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		start := &core.Start{
			ID: s.Instance, Name: s.Name, Version: s.Version, Input: input, Execution: s.Execution,
			StartAt: s.StartAt, Tags: s.Tags,
			Reply: func(replaced bool, err error) {
				a.replaced = replaced
				reply(err)
			},
		}
		if rid == "" {
			c.Start(now, start)
			return
		}
		again := func(a core.Answer) { start.Reply(a.Replaced, a.Err) }
		c.Once(now, core.Request{ID: rid, Op: "start", Name: s.Name, Instance: s.Instance}, again, func() { c.Start(now, start) })
	})
}

// wait returns when the instance has ended.
func (h *Hub) wait(ctx context.Context, p *partition.Partition, id string) error {
	var w *core.Waiter
	err := h.do(ctx, p, func(c *core.Core, _ int64, reply func(error)) {
		w = &core.Waiter{Done: reply}
		c.Wait(id, w)
	})
	if ctx.Err() != nil {
		p.Do(func(c *core.Core, _ int64) {
			if w != nil {
				c.Unwait(id, w)
			}
		}, func(error) {})
	}
	return err
}

func (h *Hub) get(ctx context.Context, p *partition.Partition, g *transport.Get, a *answer) error {
	err := p.Read(ctx, func(r kv.Reader) error {
		v, err := core.Lookup(r, g.Instance)
		if err != nil || v == nil {
			return err
		}
		a.instance, err = instanceOf(r, v, g.Payloads)
		return err
	})
	if err == nil && a.instance == nil {
		err = fmt.Errorf("%q: %w", g.Instance, ErrNotFound)
	}
	return unavailable(err)
}

func (h *Hub) history(ctx context.Context, p *partition.Partition, id string, a *answer) error {
	found := false
	err := p.Read(ctx, func(r kv.Reader) error {
		v, err := core.Lookup(r, id)
		if err != nil || v == nil {
			return err
		}
		found = true
		a.events, err = v.History(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%q: %w", id, ErrNotFound)
	}
	return unavailable(err)
}

// list reads up to q.Top instances of one partition. more says that the page was full, or
// heavy.
func (h *Hub) list(ctx context.Context, p *partition.Partition, q *transport.Query, a *answer) error {
	f := fromQuery(q)
	a.after = q.After
	bytes := 0
	err := p.Read(ctx, func(r kv.Reader) error {
		return core.Each(r, a.after, func(v *core.View) (bool, error) {
			if !f.matches(&v.Row) {
				a.after = v.Number
				return ctx.Err() == nil, ctx.Err()
			}
			if len(a.instances) == f.Top || bytes > maxPageBytes {
				a.more = true
				return false, nil
			}
			a.after = v.Number
			inst, err := instanceOf(r, v, f.Payloads)
			if err != nil {
				return false, err
			}
			bytes += payloadBytes(inst)
			a.instances = append(a.instances, inst)
			return true, nil
		})
	})
	return unavailable(err)
}

// purgeAtOnce is how many instances one step purges: they share a commit.
const purgeAtOnce = 1000

// purgeSome removes the next portion of the finished instances that match.
func (h *Hub) purgeSome(ctx context.Context, p *partition.Partition, q *transport.Query, a *answer) error {
	f := fromQuery(q)
	a.after = q.After
	var ids []string
	err := p.Read(ctx, func(r kv.Reader) error {
		return core.Each(r, a.after, func(v *core.View) (bool, error) {
			a.after = v.Number
			if history.IsTerminal(v.Row.Status) && f.matches(&v.Row) {
				ids = append(ids, v.Row.Id)
			}
			a.more = len(ids) == purgeAtOnce
			return !a.more && ctx.Err() == nil, ctx.Err()
		})
	})
	if err != nil || len(ids) == 0 {
		return unavailable(err)
	}
	return h.alter(ctx, p, func(c *core.Core, now int64, reply func(error)) {
		for _, id := range ids {
			c.Purge(now, id, func(err error) {
				if err == nil {
					a.purged++
				}
			})
		}
		c.Flush(func() { reply(nil) })
	})
}
