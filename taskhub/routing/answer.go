package routing

import (
	"context"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// Answer answers a request of another host from what this host owns. It forwards nothing,
// and holds a request for a partition that is about to be served.
func (r *Router) Answer(ctx context.Context, q *transport.Request) *transport.Response {
	n := int(q.Partition)
	if n >= r.cfg.Partitions {
		return &transport.Response{Code: transport.Code_INVALID_ARGUMENT, Text: fmt.Sprintf("there is no partition %d", n)}
	}
	r.cfg.Owners.Wake() // the host that asks is awake
	o := r.cfg.Owners.Owner(n)
	hold, cancel := r.cfg.Sched.WithTimeout(ctx, holdFor)
	defer cancel()
	for !o.Serving() && o.State == cluster.Opening && o.Mine {
		if o.Changed.Wait(hold) != nil {
			break
		}
		o = r.cfg.Owners.Owner(n)
	}
	if !o.Serving() {
		return &transport.Response{Code: transport.Code_NOT_OWNER, Text: fmt.Sprintf("partition %d is %s", n, o.State)}
	}
	if err := ctx.Err(); err != nil {
		return failed(err) // who asked has given up, perhaps long ago if we were frozen
	}
	a, err := r.execute(ctx, o.Local, q)
	if err != nil {
		return failed(err)
	}
	return a
}
