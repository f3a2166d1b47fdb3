package taskhub

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// A hub that has had nothing to do for a while hibernates: its partitions are released
// with the moment of their next timer, the sessions are closed, and almost nothing is
// asked of the bucket until somebody wants something (E§C10, docs/decisions/0016).

const (
	// defaultHibernateAfter is how long nothing must have happened.
	defaultHibernateAfter = time.Minute
	// soon is how many times as long no timer may be due: to fall asleep and to wake costs
	// as many requests as five minutes of renewals.
	soon = 5
	// stillLooks is how often the steward looks in that time.
	stillLooks = 6
	// wakeAhead is how long before a timer the host that had its partition wakes; another
	// one waits up to as long, so that mostly one of them claims.
	wakeAhead = time.Second
)

// hibernation is the part of a hub that decides about its sleep. But for the counters it
// is guarded by the hub's lock.
type hibernation struct {
	// begun and ended count requests that this host executes.
	begun, ended atomic.Uint64

	sleepy bool
	// dozing is set from when the partitions are being released until the hub has woken;
	// it fires when that is over, one way or the other.
	dozing sched.Signal
	asleep bool
	roused bool // somebody wants something
}

// stillness is what changes when a hub does something.
type stillness struct {
	requests uint64
	seqs     []uint64 // log records of the partitions served here
}

func (h *Hub) hibernateAfter() time.Duration {
	if h.opts.HibernateAfter == 0 {
		return defaultHibernateAfter
	}
	return h.opts.HibernateAfter
}

// Asleep says whether the hub hibernates as far as this host knows. It wakes by itself.
func (h *Hub) Asleep() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sleep.asleep
}

// tire finds out whether this host would hibernate, and says whether the hub does now:
// all hosts that are heard would, or do, and there is nobody to look after.
func (s *steward) tire() bool {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.opts.Sched.Mono()
	still, calm := s.still()
	if !calm || still.requests != s.seen.requests || !slices.Equal(still.seqs, s.seen.seqs) {
		s.seen, s.stillSince = still, now
	}
	h.sleep.sleepy = calm && h.hibernateAfter() > 0 && now-s.stillSince >= h.hibernateAfter()
	return h.sleep.sleepy && !slices.ContainsFunc(h.members, func(m *member) bool {
		return h.audible(m) && !m.sleepy
	})
}

// still looks at what this host serves. calm says that nothing is going on, here or with
// the partitions of others. Called with the lock held.
func (s *steward) still() (st stillness, calm bool) {
	h := s.h
	st.requests = h.sleep.begun.Load()
	calm = !h.stopping && !h.moving && !h.asking && st.requests == h.sleep.ended.Load()
	worth := h.opts.Sched.Now().Add(soon * h.hibernateAfter()).UnixNano()
	for n := range h.parts {
		x := &h.parts[n]
		switch {
		case x.mine(s.session.ID()) && x.serving() && x.state == Serving:
			r := x.part.Idleness()
			st.seqs = append(st.seqs, r.Seq)
			calm = calm && !r.Busy && (r.Timer == 0 || r.Timer > worth)
		case x.resting, x.state == Elsewhere && !x.heir && h.hears(x.owner):
			st.seqs = append(st.seqs, 0)
		default:
			calm = false
		}
	}
	return st, calm
}

// doze releases all partitions until they are wanted, and ends the session. It says
// whether that has worked; else the steward goes on with what is left.
func (s *steward) doze() bool {
	h := s.h
	h.mu.Lock()
	if h.stopping {
		h.mu.Unlock()
		return false
	}
	over := h.opts.Sched.NewSignal()
	h.sleep.dozing, h.sleep.roused = over, false
	parts := make([]*partition.Partition, len(h.parts))
	for n := range h.parts {
		if x := &h.parts[n]; x.mine(s.session.ID()) && x.part != nil {
			parts[n] = x.part
			h.updateLocked(n, func(x *share) { x.state = Asleep })
		}
	}
	h.mu.Unlock()
	released := make([]bool, len(parts))
	for _, done := range s.letGo(parts, released) {
		_ = done.Wait(context.Background()) // each ends with the steward's context, or before
	}
	all := true
	for n, p := range parts {
		all = all && (p == nil || released[n])
	}
	if all && s.ctx.Err() == nil {
		h.opts.Log.Info("nothing to do: the hub hibernates", "hub", h.opts.Name, "session", s.session.ID())
		h.sayAsleep("")
		all = s.session.Close(s.ctx) == nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sleep.sleepy = false
	if h.sleep.asleep = all; !all {
		h.sleep.dozing = nil
	}
	over.Fire()
	return all
}

// letGo lets the partitions sleep, side by side.
func (s *steward) letGo(parts []*partition.Partition, released []bool) []sched.Signal {
	h := s.h
	var ends []sched.Signal
	for n, p := range parts {
		if p == nil {
			continue
		}
		done := h.opts.Sched.NewSignal()
		ends = append(ends, done)
		h.opts.Sched.Go(func() {
			defer done.Fire()
			if d := h.desk(n); d != nil {
				d.move() // should an activity have been handed out at the last moment
			}
			wakeAt, err := p.Hibernate(s.ctx)
			if err != nil {
				h.opts.Log.Warn("partition is not released", "hub", h.opts.Name, "partition", n, "error", err)
				p.Abandon(err) // half stopped it is of no use; it is opened again
				_ = p.Done().Wait(context.Background())
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.release(n, p.Epoch(), true)
			x := &h.parts[n]
			x.part = nil
			if x.owner = s.session.ID(); err == nil {
				released[n] = true
				h.rest(n, wakeAt, 0)
			}
		})
	}
	return ends
}

// rest notes that partition n, which nobody owns, need not be served before wakeAt; late
// is by how much this host comes after another one then. Called with the lock held.
func (h *Hub) rest(n int, wakeAt int64, late time.Duration) {
	h.updateLocked(n, func(x *share) {
		x.resting, x.wakeAt = true, wakeAt
		if wakeAt != 0 {
			x.wakeAt += int64(late - wakeAhead)
		}
		if h.sleep.dozing != nil {
			x.state, x.detail = Asleep, ""
		}
	})
}

// rouse ends the hub's sleep, if it hibernates or is about to.
func (h *Hub) rouse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rouseLocked()
}

func (h *Hub) rouseLocked() {
	if h.sleep.dozing != nil && !h.sleep.roused {
		h.sleep.roused = true
		h.news.Fire()
	}
}

// sayAsleep tells the other hosts, or the one at an address, that this one hibernates.
func (h *Hub) sayAsleep(address string) {
	if h.net == nil {
		return
	}
	h.mu.Lock()
	hello := &transport.Hello{Session: h.session.ID(), Address: h.opts.About.Address, Sleepy: true, Asleep: true}
	for n, x := range h.parts {
		if x.resting && x.owner == h.session.ID() {
			at := x.wakeAt
			if at != 0 {
				at += int64(wakeAhead)
			}
			hello.Released = append(hello.Released, &transport.Released{Partition: uint32(n), Epoch: x.epoch, WakeAt: at})
		}
	}
	var to []string
	for _, m := range h.members {
		if address == "" || m.address == address {
			to = append(to, m.address)
		}
	}
	h.mu.Unlock()
	post := &transport.Post{Hub: h.id, What: &transport.Post_Hello{Hello: hello}}
	for _, a := range to {
		h.net.Peer(a).Post(post)
	}
}

// slumbers takes the word of another host that it hibernates. Called with the lock held.
func (h *Hub) slumbers(hello *transport.Hello) {
	for _, r := range hello.Released {
		n := int(r.Partition)
		if n >= len(h.parts) {
			continue
		}
		x := &h.parts[n]
		if r.Epoch > x.epoch || r.Epoch == x.epoch && x.owner == hello.Session && !x.resting {
			h.release(n, r.Epoch, false)
			h.parts[n].owner = hello.Session
			h.rest(n, r.WakeAt, h.lateness())
		}
	}
}

// lateness draws by how much this host lets another one be first at a timer.
func (h *Hub) lateness() time.Duration {
	var b [1]byte
	h.opts.Sched.Random(b[:])
	return wakeAhead * time.Duration(b[0]) / 256
}
