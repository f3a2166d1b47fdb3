package routing

import (
	"context"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// execute answers a request in a partition that this host serves.
func (r *Router) execute(ctx context.Context, p *partition.Partition, q *transport.Request) (*transport.Response, error) {
	r.begun.Add(1)
	defer r.ended.Add(1)
	switch op := q.Op.(type) {
	case *transport.Request_Start:
		return r.start(ctx, p, q.RequestId, op.Start)
	case *transport.Request_RaiseEvent:
		return r.raise(ctx, p, q.RequestId, op.RaiseEvent)
	case *transport.Request_Terminate:
		t := op.Terminate
		return r.change(ctx, p, core.Request{ID: q.RequestId, Op: "terminate", Instance: t.Instance},
			plain(func(c *core.Core, now int64, reply func(error)) {
				c.Terminate(now, t.Instance, t.Reason, t.Recursive, reply)
			}))
	case *transport.Request_Suspend:
		n := op.Suspend
		return r.change(ctx, p, core.Request{ID: q.RequestId, Op: "suspend", Instance: n.Instance},
			plain(func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, n.Instance, n.Reason, reply) }))
	case *transport.Request_Resume:
		n := op.Resume
		return r.change(ctx, p, core.Request{ID: q.RequestId, Op: "resume", Instance: n.Instance},
			plain(func(c *core.Core, now int64, reply func(error)) { c.Resume(now, n.Instance, n.Reason, reply) }))
	case *transport.Request_Purge:
		return r.change(ctx, p, core.Request{ID: q.RequestId, Op: "purge", Instance: op.Purge},
			plain(func(c *core.Core, now int64, reply func(error)) { c.Purge(now, op.Purge, reply) }))
	case *transport.Request_PurgeSome:
		return r.purgeSome(ctx, p, op.PurgeSome.Query)
	case *transport.Request_Get:
		return get(ctx, p, op.Get)
	case *transport.Request_Wait:
		return r.wait(ctx, p, op.Wait)
	case *transport.Request_History:
		return events(ctx, p, op.History)
	case *transport.Request_List:
		return list(ctx, p, op.List)
	}
	return nil, fmt.Errorf("%w: a request that this version does not know: %T", core.ErrInvalidArgument, q.Op)
}

// plain is a step whose answer is an error or none.
func plain(s func(c *core.Core, now int64, reply func(error))) step {
	return func(c *core.Core, now int64, reply func(core.Answer)) {
		s(c, now, func(err error) { reply(core.Answer{Err: err}) })
	}
}

func (r *Router) start(ctx context.Context, p *partition.Partition, id string, s *transport.Start) (*transport.Response, error) {
	input, err := put(ctx, p, s.Input)
	if err != nil {
		return nil, err
	}
	q := core.Request{ID: id, Op: "start", Name: s.Name, Instance: s.Instance}
	return r.change(ctx, p, q, func(c *core.Core, now int64, reply func(core.Answer)) {
		c.Start(now, &core.Start{
			ID: s.Instance, Name: s.Name, Version: s.Version, Input: input, Execution: s.Execution,
			StartAt: s.StartAt, Tags: s.Tags,
			Reply: func(replaced bool, err error) { reply(core.Answer{Replaced: replaced, Err: err}) },
		})
	})
}

func (r *Router) raise(ctx context.Context, p *partition.Partition, id string, e *transport.RaiseEvent) (*transport.Response, error) {
	data, err := put(ctx, p, e.Data)
	if err != nil {
		return nil, err
	}
	return r.change(ctx, p, core.Request{ID: id, Op: "raise", Name: e.Name, Instance: e.Instance},
		plain(func(c *core.Core, now int64, reply func(error)) { c.Raise(now, e.Instance, e.Name, data, reply) }))
}

// wait returns when the instance has ended.
func (r *Router) wait(ctx context.Context, p *partition.Partition, id string) (*transport.Response, error) {
	var w *core.Waiter
	_, err := r.await(ctx, p, plain(func(c *core.Core, _ int64, reply func(error)) {
		w = &core.Waiter{Done: reply}
		c.Wait(id, w)
	}))
	if ctx.Err() != nil {
		p.Do(func(c *core.Core, _ int64) {
			if w != nil {
				c.Unwait(id, w)
			}
		}, func(error) {})
	}
	if err != nil {
		return nil, err
	}
	return &transport.Response{}, nil
}

// purgeAtOnce is how many instances one step purges: they share a commit.
const purgeAtOnce = 1000

// purgeSome removes the next portion of the finished instances that match.
func (r *Router) purgeSome(ctx context.Context, p *partition.Partition, q *transport.Query) (*transport.Response, error) {
	a := &transport.Response{After: q.After}
	var ids []string
	err := p.Read(ctx, func(kr kv.Reader) error {
		return core.Each(kr, q.After, func(v *core.View) (bool, error) {
			a.After = v.Number
			if history.IsTerminal(v.Row.Status) && matches(q, &v.Row) {
				ids = append(ids, v.Row.Id)
			}
			a.More = len(ids) == purgeAtOnce
			return !a.More && ctx.Err() == nil, ctx.Err()
		})
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if len(ids) == 0 {
		return a, nil
	}
	_, err = r.change(ctx, p, core.Request{}, func(c *core.Core, now int64, reply func(core.Answer)) {
		for _, id := range ids {
			c.Purge(now, id, func(err error) {
				if err == nil {
					a.Purged++
				}
			})
		}
		c.Flush(func() { reply(core.Answer{}) })
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}
