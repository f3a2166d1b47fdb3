package routing

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

const (
	// holdFor is how long a request waits for its partition to be served: a restart, a
	// move or a takeover is a pause, not an error.
	holdFor = 5 * time.Second
	// askAgain is when a host that did not have the partition, or could not be reached, is
	// asked again unless something changed before.
	askAgain = 100 * time.Millisecond
	// recheckAfter is for how long the owner that is known is believed when it denies it.
	recheckAfter = time.Second
	// repeatFor is for how long a request may be sent again whose answer was lost: far less
	// than owners remember request ids. A host that was suspended may find that more has
	// passed than its monotonic clock, and so holdFor, knows of.
	repeatFor = time.Minute
)

// Owners knows who owns which partition. *ownership.Manager is one. Its methods may be
// called concurrently; they do not block.
type Owners interface {
	// Owner is who owns partition n.
	Owner(n int) ownership.Owner
	// Recheck lets the bucket be asked whose partition n is.
	Recheck(n int)
	// Wake ends the hub's hibernation, if it hibernates or is about to.
	Wake()
	// Stopping reports whether this host leaves the hub, and forwards nothing again.
	Stopping() bool
}

// Config is what a Router needs.
type Config struct {
	Hub        string // id
	Partitions int
	Owners     Owners
	Network    transport.Network // nil: there are no other hosts
	Sched      sched.Scheduler
}

// Router brings requests and messages to the owners of their partitions.
type Router struct {
	cfg          Config
	begun, ended atomic.Uint64
}

// New makes a Router.
func New(cfg Config) *Router { return &Router{cfg: cfg} }

// Requests counts the requests that this host has begun to execute, and has ended. They
// are equal while none is under way.
func (r *Router) Requests() (begun, ended uint64) { return r.begun.Load(), r.ended.Load() }

// Ask has a request answered by the owner of partition n, this host or another one. It holds
// the request while the partition moves. A request whose answer was lost is repeated only if
// that does no harm: it only reads, or it carries a request id.
//
// Errors are those of the core that a caller can act on, ErrUnavailable when no owner
// answered in time, and ctx's.
func (r *Router) Ask(ctx context.Context, n int, q *transport.Request) (*transport.Response, error) {
	o := r.cfg.Owners.Owner(n)
	asked := r.cfg.Sched.Now()
	var last error
	if o.Serving() {
		// Without a timer: this is every request but a few.
		a, err := r.execute(ctx, o.Local, q)
		if !r.moved(q, err) {
			return a, err
		}
		last = err
	}
	q.Hub, q.Partition = r.cfg.Hub, uint32(n)
	hold, cancel := ctx, context.CancelFunc(func() {})
	if _, waits := q.Op.(*transport.Request_Wait); !waits {
		hold, cancel = r.cfg.Sched.WithTimeout(ctx, holdFor)
	}
	defer cancel()
	return r.askUntil(ctx, hold, n, q, asked, last)
}

// askUntil asks whoever is the owner until one answers, or hold ends. asked is when the request
// came, and last how an attempt ended that was made already; nil: there was none.
func (r *Router) askUntil(ctx, hold context.Context, n int, q *transport.Request, asked time.Time, last error) (*transport.Response, error) {
	began := r.cfg.Sched.Mono()
	for {
		o := r.cfg.Owners.Owner(n)
		if last != nil && (hold.Err() != nil || r.tooLate(q, asked, last)) {
			return nil, fmt.Errorf("%w: partition %d is %s: %s: %w", ErrUnavailable, n, o.State, o.Detail, last)
		}
		if (o.State == cluster.Parked || o.State == cluster.Stopped) && !o.Serving() {
			return nil, fmt.Errorf("%w: partition %d is %s: %s", ErrUnavailable, n, o.State, o.Detail)
		}
		a, err := r.askOnce(ctx, &o, q)
		if !r.moved(q, err) {
			return a, err
		}
		if !errors.Is(err, errNotServing) || last == nil {
			last = err
		}
		if r.cfg.Sched.Mono()-began > recheckAfter {
			began = r.cfg.Sched.Mono()
			r.cfg.Owners.Recheck(n)
		}
		r.pause(hold, &o)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// tooLate reports whether a request that may have been answered, as last leaves open, came so
// long ago that its owner may have forgotten its id.
func (r *Router) tooLate(q *transport.Request, asked time.Time, last error) bool {
	return last != nil && !errors.Is(last, errNotServing) && !reads(q) && r.cfg.Sched.Now().Sub(asked).Abs() > repeatFor
}

// askOnce asks the owner that is known.
func (r *Router) askOnce(ctx context.Context, o *ownership.Owner, q *transport.Request) (*transport.Response, error) {
	if o.State == cluster.Dormant {
		r.cfg.Owners.Wake()
	}
	switch {
	case o.Serving():
		return r.execute(ctx, o.Local, q)
	case o.Address != "" && o.State == cluster.Elsewhere && r.cfg.Network != nil:
		return r.forward(ctx, o.Address, q)
	}
	return nil, errNotServing
}

// pause waits until the owner may be another one, or can be asked again.
func (r *Router) pause(hold context.Context, o *ownership.Owner) {
	if o.State != cluster.Elsewhere {
		_ = o.Changed.Wait(hold)
		return
	}
	pause, stop := r.cfg.Sched.WithTimeout(hold, askAgain)
	defer stop()
	_ = o.Changed.Wait(pause)
}

// moved reports whether a request is to be asked again: its partition is not, or no more,
// where it was looked for.
func (r *Router) moved(q *transport.Request, err error) bool {
	switch {
	case err == nil || r.cfg.Owners.Stopping() && !errors.Is(err, errNotServing):
		return false
	case errors.Is(err, errNotServing):
		return true
	}
	return (errors.Is(err, ErrUnavailable) || errors.Is(err, transport.ErrUnreachable)) && repeatable(q)
}

// repeatable reports whether a request may be sent again though it may have been answered.
func repeatable(q *transport.Request) bool { return reads(q) || q.RequestId != "" }

// reads reports whether a request does no harm however often it is answered.
func reads(q *transport.Request) bool {
	switch q.Op.(type) {
	case *transport.Request_Get, *transport.Request_Wait, *transport.Request_History, *transport.Request_List, *transport.Request_PurgeSome:
		return true
	}
	return false
}

// forward sends a request to another host.
func (r *Router) forward(ctx context.Context, address string, q *transport.Request) (*transport.Response, error) {
	if !repeatable(q) {
		// The answer may be lost on its way, or the owner die before it: with an id the
		// request can be repeated.
		var id [16]byte
		r.cfg.Sched.Random(id[:])
		q.RequestId = "host-" + hex.EncodeToString(id[:])
	}
	a, err := r.cfg.Network.Peer(address).Call(ctx, q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := errorOf(a); err != nil {
		return nil, err
	}
	return a, nil
}
