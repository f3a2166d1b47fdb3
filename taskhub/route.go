package taskhub

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
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
	// learnAfter is for how long the owner that is known is believed when it denies it.
	learnAfter = time.Second
)

// errRefused means that a request was not begun: the partition had stopped.
var errRefused = errors.New("the partition does not serve here")

// ask has a request answered by the owner of partition n, here or on another host. It
// holds the request while the partition moves. A request whose answer was lost is repeated
// only if that does no harm: it only reads, or it carries a request id.
func (h *Hub) ask(ctx context.Context, n int, r *transport.Request) (*answer, error) {
	s := h.share(n)
	if s.serving() {
		// Without a timer: this is every request but a few.
		a, err := h.execute(ctx, s.part, r)
		if !h.moved(r, err) {
			return a, err
		}
	}
	r.Hub, r.Partition = h.id, uint32(n)
	hold, cancel := ctx, context.CancelFunc(func() {})
	if _, waits := r.Op.(*transport.Request_Wait); !waits {
		hold, cancel = h.opts.Sched.WithTimeout(ctx, holdFor)
	}
	defer cancel()
	began := h.opts.Sched.Mono()
	var last error
	for {
		s := h.share(n)
		if s.state == Asleep {
			h.rouse()
		}
		var a *answer
		err := error(nil)
		switch {
		case s.serving():
			a, err = h.execute(ctx, s.part, r)
		case s.state == Parked, s.state == Stopped:
			return nil, fmt.Errorf("%w: partition %d is %s: %s", ErrUnavailable, n, s.state, s.detail)
		case s.address != "" && s.state == Elsewhere:
			a, err = h.forward(ctx, s.address, r)
		default:
			err = errRefused
		}
		if !h.moved(r, err) {
			return a, err
		}
		if !errors.Is(err, errRefused) || last == nil {
			last = err
		}
		if h.opts.Sched.Mono()-began > learnAfter {
			began = h.opts.Sched.Mono()
			h.doubt(n)
		}
		pause, stop := h.opts.Sched.WithTimeout(hold, askAgain)
		if s.state != Elsewhere {
			stop()
			pause, stop = hold, func() {}
		}
		_ = s.changed.Wait(pause)
		stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if hold.Err() != nil {
			s = h.share(n)
			return nil, fmt.Errorf("%w: partition %d is %s: %s: %w", ErrUnavailable, n, s.state, s.detail, last)
		}
	}
}

// moved says whether a request is to be asked again: its partition is not, or no more,
// where it was looked for.
func (h *Hub) moved(r *transport.Request, err error) bool {
	switch {
	case err == nil || h.isStopping() && !errors.Is(err, errRefused):
		return false
	case errors.Is(err, errRefused):
		return true
	}
	return (errors.Is(err, ErrUnavailable) || errors.Is(err, transport.ErrUnreachable)) && repeatable(r)
}

// repeatable says whether a request may be sent again though it may have been answered.
func repeatable(r *transport.Request) bool {
	switch r.Op.(type) {
	case *transport.Request_Get, *transport.Request_Wait, *transport.Request_History, *transport.Request_List, *transport.Request_PurgeSome:
		return true
	}
	return r.RequestId != ""
}

// doubt lets the steward find out from the bucket whose partition n is.
func (h *Hub) doubt(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts[n].unlisted = doubtAfter
	h.news.Fire()
}

// forward sends a request to another host.
func (h *Hub) forward(ctx context.Context, address string, r *transport.Request) (*answer, error) {
	if r.RequestId == "" && !repeatable(r) {
		// The answer may be lost on its way, or the owner die before it: with an id the
		// request can be repeated.
		var id [16]byte
		h.opts.Sched.Random(id[:])
		r.RequestId = "host-" + hex.EncodeToString(id[:])
	}
	response, err := h.net.Peer(address).Call(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fromResponse(response)
}

// peers is the hub as other hosts see it.
type peers struct{ h *Hub }

var _ transport.Handler = peers{}

// Call implements transport.Handler: it answers what this host owns, and forwards nothing.
func (p peers) Call(ctx context.Context, r *transport.Request) *transport.Response {
	h := p.h
	n := int(r.Partition)
	switch {
	case r.Hub != h.id:
		return &transport.Response{Code: transport.Code_INVALID_ARGUMENT, Text: "this host is of another task hub"}
	case r.GetMove() != nil:
		return h.give(ctx, r.GetMove())
	case r.GetCheck() != nil:
		return h.runner.check(r.GetCheck())
	case r.GetRoll() != nil:
		return h.roll(r.GetRoll())
	case n >= len(h.parts):
		return &transport.Response{Code: transport.Code_INVALID_ARGUMENT, Text: fmt.Sprintf("there is no partition %d", n)}
	}
	h.rouse() // the host that asks is awake
	s := h.share(n)
	hold, cancel := h.opts.Sched.WithTimeout(ctx, holdFor)
	defer cancel()
	for !s.serving() && s.state == Opening && s.mine(h.sessionID()) { // it is about to
		if s.changed.Wait(hold) != nil {
			break
		}
		s = h.share(n)
	}
	if !s.serving() {
		return &transport.Response{Code: transport.Code_NOT_OWNER, Text: fmt.Sprintf("partition %d is %s", n, s.state)}
	}
	if err := ctx.Err(); err != nil {
		return toResponse(nil, err) // who asked has given up, perhaps long ago if we were frozen
	}
	a, err := h.execute(ctx, s.part, r)
	return toResponse(a, err)
}

// Post implements transport.Handler.
func (p peers) Post(post *transport.Post) {
	h := p.h
	if post.Hub != h.id {
		return
	}
	switch w := post.What.(type) {
	case *transport.Post_Hello:
		h.heard(w.Hello)
	case *transport.Post_Messages:
		m := w.Messages
		if to := h.local(int(m.Dst)); to != nil && int(m.Src) < len(h.parts) {
			to.Receive(int(m.Src), core.Send{Dst: int(m.Dst), First: m.First, Messages: m.Messages})
		}
	case *transport.Post_Receipt:
		if to := h.local(int(w.Receipt.Src)); to != nil && int(w.Receipt.Dst) < len(h.parts) {
			to.Acked(int(w.Receipt.Dst), w.Receipt.UpTo)
		}
	case *transport.Post_Work:
		h.runner.work(w.Work)
	case *transport.Post_Done:
		h.done(w.Done)
	case *transport.Post_Taken:
		h.taken(w.Taken)
	}
}

// Lost implements transport.Handler.
func (p peers) Lost(address string) { p.h.lost(address) }

// call is one request under way in a partition.
type call struct {
	done  sched.Signal
	begun atomic.Bool
	once  sync.Once
	err   error
}

// end takes the first answer: the partition's, or that it has stopped.
func (c *call) end(err error) {
	c.once.Do(func() {
		c.err = err
		c.done.Fire()
	})
}

// do runs a step of the core of a partition and waits for its answer, which comes after
// the commit. step must call reply once. errRefused means that it was not begun.
func (h *Hub) do(ctx context.Context, p *partition.Partition, step func(c *core.Core, now int64, reply func(error))) error {
	c := &call{done: h.opts.Sched.NewSignal()}
	refuse := func(err error) { c.end(fmt.Errorf("%w: %w", errRefused, err)) }
	p.DoInline(func(core *core.Core, now int64) {
		c.begun.Store(true)
		step(core, now, c.end)
	}, refuse)
	forget := p.Track(func(err error) {
		if !c.begun.Load() { // nor will it be: steps are refused from before this is told
			refuse(err)
			return
		}
		c.end(err)
	})
	defer forget()
	if err := c.done.Wait(ctx); err != nil {
		return err
	}
	return unavailable(c.err)
}

// unavailable marks the errors that come from a partition that moved or stopped.
func unavailable(err error) error {
	if errors.Is(err, errRefused) {
		return err
	}
	if errors.Is(err, partition.ErrStopped) || errors.Is(err, partition.ErrFenced) || errors.Is(err, lease.ErrLost) || errors.Is(err, ErrStopped) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
