package taskhub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

const (
	// alonePatience is how long a partition that is being stopped waits for work that is
	// out with apps when nobody takes it over; movePatience when somebody does, who would
	// have to wait as well.
	alonePatience = 2 * time.Second
	movePatience  = 250 * time.Millisecond
	// moveTimeout is when a host gives up to ask for a partition.
	moveTimeout = 30 * time.Second
)

// balance asks the host with the most partitions for one, if it has at least two more than
// this one. The set of hosts must have been the same for the length of a lease, so that
// hosts that come and go move nothing.
func (s *steward) balance() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.opts.Sched.Mono()
	if h.net == nil || h.stopping || h.asking || h.sleep.sleepy || now-s.joined < s.settled || now-h.changed < h.opts.Lease {
		return
	}
	for _, x := range h.parts {
		if x.free || x.heir || x.mine(s.session.ID()) && x.part == nil && x.state != cluster.Parked {
			return // what is on its way comes first
		}
	}
	loads := h.loads()
	most := 0
	for n, l := range loads {
		if l.parts > loads[most].parts {
			most = n
		}
	}
	if lightest(loads) != 0 || loads[most].parts < loads[0].parts+2 {
		return
	}
	h.asking = true
	ask := &transport.Request{Hub: h.id, Op: &transport.Request_Move{Move: &transport.Move{
		Session: s.session.ID(), Address: h.opts.About.Address, Owned: uint32(loads[0].parts),
	}}}
	s.do(func() {
		ctx, cancel := h.opts.Sched.WithTimeout(s.ctx, moveTimeout)
		answer, err := h.net.Peer(loads[most].address).Call(ctx, ask)
		cancel()
		if err == nil && answer.Code == transport.Code_OK && int(answer.Moved) < len(h.parts) {
			h.opts.Log.Info("a partition is handed over to this host", "hub", h.opts.Name, "partition", answer.Moved, "by", loads[most].session)
		}
		h.mu.Lock()
		h.asking = false
		h.news.Fire()
		h.mu.Unlock()
	})
}

// give hands one partition over to a host that asks for it and has fewer.
func (h *Hub) give(ctx context.Context, m *transport.Move) *transport.Response {
	h.mu.Lock()
	me := h.session.ID()
	mine, chosen := 0, -1
	for n := range h.parts {
		if x := &h.parts[n]; x.mine(me) {
			mine++
			if x.serving() && x.state == cluster.Serving {
				chosen = n
			}
		}
	}
	if h.stopping || h.moving || chosen < 0 || mine < int(m.Owned)+2 {
		h.mu.Unlock()
		return &transport.Response{Code: transport.Code_BUSY, Text: "no partition to give"}
	}
	h.moving = true
	h.meet(m.Session, m.Address)
	h.mu.Unlock()
	err := h.handOver(ctx, chosen, load{session: m.Session, address: m.Address})
	h.mu.Lock()
	h.moving = false
	h.mu.Unlock()
	if err != nil {
		return &transport.Response{Code: transport.Code_OTHER, Text: err.Error()}
	}
	return &transport.Response{Moved: uint32(chosen)}
}

// handOver moves partition n in order: a checkpoint while it still serves, then no more
// intake, the last commit, a small checkpoint, the root released; and the heir is told.
// Requests that come meanwhile wait, here or at the host that forwards them.
func (h *Hub) handOver(ctx context.Context, n int, heir load) error {
	h.mu.Lock()
	part := h.parts[n].part
	if part == nil {
		h.mu.Unlock()
		return partition.ErrStopped
	}
	h.parts[n].state = cluster.Moving
	h.mu.Unlock()
	if d := h.desk(n); d != nil {
		d.move()
	}
	started := h.opts.Sched.Mono()
	err := part.Checkpoint(ctx)
	if err == nil {
		part.Quiesce(movePatience)
		err = part.Stop(ctx)
	}
	if err != nil {
		part.Abandon(err) // a partition that is half stopped is of no use; it is opened again
		_ = part.Done().Wait(context.Background())
		h.mu.Lock()
		h.release(n, part.Epoch(), true)
		h.parts[n].part, h.parts[n].owner = nil, h.session.ID()
		h.news.Fire()
		h.mu.Unlock()
		return err
	}
	h.mu.Lock()
	h.belongs(n, heir.session, heir.address, part.Epoch())
	h.parts[n].part, h.parts[n].heir = nil, true
	h.mu.Unlock()
	h.greet()
	h.wake()
	h.opts.Log.Info("partition is handed over", "hub", h.opts.Name, "partition", n, "to", heir.session, "elapsed", h.opts.Sched.Mono()-started)
	return nil
}

// handedOver says whether the end of serving n was a hand-over or the hub's sleep, which
// know what follows.
func (h *Hub) handedOver(n int, part *partition.Partition) bool {
	x := h.share(n)
	return x.part != part || x.state == cluster.Moving || x.state == cluster.Dormant || x.heir || x.owner != h.sessionID() || x.free
}

func (h *Hub) sessionID() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session.ID()
}

// handAllOver gives every partition to the host that has the fewest then, or just
// releases it when there is no other host.
func (h *Hub) handAllOver(ctx context.Context) error {
	h.greet() // the others learn that this host is leaving
	h.mu.Lock()
	loads := h.loads()[1:]
	heirs := make([]load, len(h.parts))
	parts := make([]*partition.Partition, len(h.parts))
	for n, x := range h.parts {
		if x.part == nil || x.state == cluster.Moving {
			continue
		}
		parts[n] = x.part
		if len(loads) > 0 {
			to := lightest(loads)
			loads[to].parts++
			heirs[n] = loads[to]
		}
	}
	h.mu.Unlock()
	errs := make([]error, len(parts))
	var stopped []sched.Signal
	for n, p := range parts {
		if p == nil {
			continue
		}
		done := h.opts.Sched.NewSignal()
		stopped = append(stopped, done)
		h.opts.Sched.Go(func() {
			defer done.Fire()
			if heirs[n].session != "" {
				errs[n] = h.handOver(ctx, n, heirs[n])
			} else {
				p.Quiesce(alonePatience)
				errs[n] = p.Stop(ctx)
			}
		})
	}
	for _, s := range stopped {
		if err := s.Wait(ctx); err != nil {
			return err // those that are still at it are abandoned
		}
	}
	return errors.Join(errs...)
}

// Quiesce begins to stop the hub: from now on no work is handed out and no request taken.
// The executor can then give back what it has not begun, so that Stop need not wait for it.
func (h *Hub) Quiesce() {
	h.mu.Lock()
	h.leaving = true
	patience := alonePatience
	if len(h.loads()) > 1 {
		patience = movePatience
	}
	desks := slices.Clone(h.desks)
	h.mu.Unlock()
	for _, d := range desks {
		d.move()
	}
	h.greet() // no more work comes from others
	for _, p := range h.serving() {
		p.Quiesce(patience)
	}
}
