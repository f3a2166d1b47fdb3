package taskhub

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// share is one partition as this host sees it. What it says of other hosts may be out of
// date: it leads to whom to ask, and decides nothing that the root does not confirm.
type share struct {
	part    *partition.Partition // nil: not served here
	state   cluster.State
	detail  string
	owner   string // session that owns it or has been given it; "": not known
	address string // of the owner, if it is another host that can be reached
	epoch   uint64 // the highest that was heard of
	changed sched.Signal

	// free: nobody owns it, or owner has ended, since the moment at Mono. inherited: its
	// last owner has meant it for this host.
	free      bool
	freeSince time.Duration
	inherited bool
	// heir: this host has released it to owner, who has not been heard to have it yet.
	heir bool
	// resting: its last owner released it to hibernate, and it need not be served before
	// wakeAt (Unix nanoseconds; 0: no timer).
	resting bool
	wakeAt  int64
	// unlisted counts how often in a row owner has not named it among its own.
	unlisted int
}

// serving is false for one that has just stopped: who serves next is not known yet.
func (s *share) serving() bool { return s.part != nil && !s.part.Done().Fired() }

// mine says whether this host has the partition or is claiming it.
func (s *share) mine(session string) bool { return s.owner == session && !s.free }

func (h *Hub) share(n int) share {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[n]
}

// Owner implements routing.Owners.
func (h *Hub) Owner(n int) ownership.Owner {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.parts[n]
	return ownership.Owner{
		Partition: cluster.Partition{State: s.state, Detail: s.detail, Owner: s.owner, Address: s.address, Epoch: s.epoch},
		Local:     s.part, Mine: s.mine(h.session.ID()), Changed: s.changed,
	}
}

// Recheck implements routing.Owners: the steward finds out from the bucket whose partition
// n is.
func (h *Hub) Recheck(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts[n].unlisted = doubtAfter
	h.news.Fire()
}

// Wake implements routing.Owners.
func (h *Hub) Wake() { h.rouse() }

// Stopping implements routing.Owners.
func (h *Hub) Stopping() bool { return h.isStopping() }

// resendTo asks every partition to send to n again what n's former owner did not
// acknowledge.
func (h *Hub) resendTo(n int) {
	for _, p := range h.serving() {
		p.Resend(n)
	}
}

// update changes what is known of partition n and wakes whoever waits for a change. It
// says whether the hub goes on.
func (h *Hub) update(n int, change func(s *share)) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.updateLocked(n, change)
	return !h.stopping
}

func (h *Hub) updateLocked(n int, change func(s *share)) {
	s := &h.parts[n]
	change(s)
	s.changed.Fire()
	s.changed = h.opts.Sched.NewSignal()
}

// belongs notes another host's word that it owns partition n, or the root's.
func (h *Hub) belongs(n int, owner, address string, epoch uint64) {
	h.updateLocked(n, func(s *share) {
		s.owner, s.address, s.epoch = owner, address, epoch
		s.free, s.inherited, s.heir, s.resting, s.unlisted = false, false, false, false, 0
		s.state, s.detail = cluster.Elsewhere, ""
	})
}

// release notes that nobody owns partition n any more.
func (h *Hub) release(n int, epoch uint64, inherited bool) {
	h.updateLocked(n, func(s *share) {
		if !s.free {
			s.freeSince = h.opts.Sched.Mono()
		}
		s.epoch = max(s.epoch, epoch)
		s.free, s.inherited, s.heir, s.resting, s.address = true, inherited, false, false, ""
		s.state, s.detail = cluster.Opening, ""
	})
}

// learn finds out from the bucket whose partition n is. It ends with ctx only.
func (h *Hub) learn(ctx context.Context, session *lease.Session, n int) {
	root, _, err := h.bucket(n).ReadRoot(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil || root == nil || root.Owner == "" || root.Owner == session.ID() {
		h.mu.Lock()
		defer h.mu.Unlock()
		s := &h.parts[n]
		if s.mine(session.ID()) {
			return // it was claimed while its root was read, perhaps by the claim that it shows
		}
		// A root that cannot be read is told by whoever tries to claim it.
		if root == nil || root.Epoch > s.epoch || root.Epoch == s.epoch && !s.heir {
			epoch := uint64(0)
			if root != nil {
				epoch = root.Epoch
			}
			h.release(n, epoch, false)
			h.parts[n].owner = session.ID() // ended or not, it keeps nobody from claiming
		}
		return
	}
	record, err := h.sessionRecord(ctx, root.Owner)
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.parts[n]
	if s.mine(session.ID()) || root.Epoch < s.epoch || root.Epoch == s.epoch && s.owner == root.Owner && !s.free {
		return
	}
	// A record that cannot be read does not say that its host is gone.
	if err != nil || record.State == lease.Live {
		h.belongs(n, root.Owner, record.Address, root.Epoch)
		h.meet(root.Owner, record.Address)
		return
	}
	h.release(n, root.Epoch, false)
	h.parts[n].owner = root.Owner
}

// glimpsed takes what an observer found in the session of a silent owner. A record that could
// not be read before may tell now where its host is.
func (h *Hub) glimpsed(owner string, r lease.Record, bad error) {
	detail := "owned by session " + owner
	if bad != nil {
		detail += ", which cannot be read: " + bad.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	told := false
	for n := range h.parts {
		x := &h.parts[n]
		if x.owner != owner || x.free || x.state != cluster.Waiting {
			continue
		}
		if bad == nil && x.address == "" && r.State == lease.Live {
			x.address = r.Address
			h.meet(owner, r.Address)
		}
		if x.detail != detail {
			h.updateLocked(n, func(x *share) { x.detail = detail })
			told = true
		}
	}
	if told && bad != nil {
		h.opts.Log.Error("session cannot be read", "hub", h.opts.Name, "owner", owner, "error", bad)
	}
}

func (h *Hub) sessionRecord(ctx context.Context, id string) (lease.Record, error) {
	key := layout.SessionPrefix + id
	b, _, err := lease.Read(ctx, h.opts.Sched, h.register(), key)
	if err != nil {
		if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		return lease.Record{ID: id, State: lease.Closed}, err
	}
	return lease.Decode(key, b)
}

// Reconsider is called when the executor's set of functions has changed: other hosts are
// told, and instances go on that were held because their code did not fit their history.
func (h *Hub) Reconsider() {
	h.rouse()
	h.wake()
	h.yield()
	for _, p := range h.serving() {
		p.Do(reconsider, func(error) {})
	}
}

func reconsider(c *core.Core, now int64) { c.Reconsider(now) }

func (h *Hub) serving() []*partition.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []*partition.Partition
	for _, s := range h.parts {
		if s.part != nil {
			parts = append(parts, s.part)
		}
	}
	return parts
}
