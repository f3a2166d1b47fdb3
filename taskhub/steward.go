package taskhub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
)

// steward decides which partitions this host serves, as long as one session lasts. It
// claims what nobody owns, observes in the bucket those owners that have fallen silent,
// and asks hosts that own more than their share for a partition. Two stewards that decide
// differently do no harm: the root says who is right.
type steward struct {
	h       *Hub
	ctx     context.Context
	session *lease.Session
	joined  time.Duration // Mono
	// settled is how long after that partitions may be moved.
	settled time.Duration
	watched []watched
	running []sched.Signal // fire when serving a partition, or observing, has ended
	// seen is what was seen at the last look, the same since stillSince (Mono).
	seen       stillness
	stillSince time.Duration
}

// watched is a silent owner that is being observed.
type watched struct {
	owner  string
	cancel context.CancelCauseFunc
}

const (
	// claimPatience is how long a partition that another host should claim is left to it.
	claimPatience = 2 * time.Second
	// doubtAfter is after how many Hellos without a partition its owner is doubted.
	doubtAfter = 3
)

// own serves partitions until the session is lost, the hub stops, or it hibernates, and
// returns when all of them are closed. woken says that it has just hibernated.
func (h *Hub) own(session *lease.Session, woken bool) (asleep bool) {
	ctx, cancel := h.opts.Sched.WithCancel(h.ctx)
	defer cancel(lease.ErrLost)
	h.opts.Sched.Go(func() {
		if session.Lost().Wait(ctx) == nil {
			cancel(lease.ErrLost)
			h.wake()
		}
	})
	s := &steward{h: h, ctx: ctx, session: session, joined: h.opts.Sched.Mono(), settled: h.opts.Lease}
	if woken {
		// For a timer or a request it is not worth while to move partitions about: only if
		// the hub stays awake for longer than it takes to fall asleep again.
		s.settled += h.hibernateAfter()
	}
	s.learnAll()
	for ctx.Err() == nil && !h.isStopping() {
		h.mu.Lock()
		h.news = h.opts.Sched.NewSignal()
		news := h.news
		h.mu.Unlock()
		if s.watch(); s.tire() {
			if asleep = s.doze(); asleep {
				break
			}
			continue
		}
		s.claim()
		s.balance()
		h.greet()
		wait, done := h.opts.Sched.WithTimeout(ctx, s.interval())
		_ = news.Wait(wait)
		done()
	}
	if asleep {
		cancel(lease.ErrLost)
	}
	for _, ended := range s.running {
		_ = ended.Wait(context.Background()) // each ends with ctx, or with its partition
	}
	state := cluster.Opening // under the next session
	switch {
	case h.ctx.Err() != nil || h.isStopping():
		state = cluster.Stopped
	case asleep:
		state = cluster.Dormant
	}
	h.all(state)
	return asleep
}

// all notes the state of all partitions, none of which is served here.
func (h *Hub) all(state PartitionState) {
	for n := range h.parts {
		h.update(n, func(x *share) { x.part, x.state, x.detail = nil, state, "" })
	}
}

// wake lets the steward look again.
func (h *Hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news.Fire()
}

// interval is when the steward looks again though nothing has happened: seldom when there
// is nobody to talk to.
func (s *steward) interval() time.Duration {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	wait := time.Hour
	if after := s.h.hibernateAfter(); after > 0 {
		wait = max(after/stillLooks, time.Millisecond)
	}
	if len(s.h.members) > 0 || slices.ContainsFunc(s.h.parts, func(x share) bool { return !x.mine(s.session.ID()) }) {
		wait = min(wait, s.h.helloEvery())
	}
	return wait
}

// do runs f beside the steward, which waits for its end.
func (s *steward) do(f func()) {
	s.running = slices.DeleteFunc(s.running, sched.Signal.Fired)
	ended := s.h.opts.Sched.NewSignal()
	s.running = append(s.running, ended)
	s.h.opts.Sched.Go(func() {
		defer ended.Fire()
		f()
	})
}

// learnAll reads all roots: after it every partition is known to be free or another's.
func (s *steward) learnAll() {
	h := s.h
	learned := make([]sched.Signal, len(h.parts))
	for n := range h.parts {
		h.update(n, func(x *share) {
			x.part, x.state, x.detail, x.owner, x.address = nil, cluster.Opening, "", "", ""
			x.free, x.inherited, x.heir, x.resting = false, false, false, false
		})
		learned[n] = h.opts.Sched.NewSignal()
		h.opts.Sched.Go(func() {
			defer learned[n].Fire()
			h.learn(s.ctx, s.session, n)
		})
	}
	for _, l := range learned {
		_ = l.Wait(context.Background()) // ends with ctx
	}
}

// watch observes the owners that are silent, and stops for those that speak again.
func (s *steward) watch() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetStrangers()
	me := s.session.ID()
	var silent []string
	for n := range h.parts {
		x := &h.parts[n]
		if x.owner == "" || x.owner == me || x.free {
			continue
		}
		if h.hears(x.owner) {
			if x.state == cluster.Waiting {
				h.updateLocked(n, func(x *share) { x.state, x.detail = cluster.Elsewhere, "" })
			}
			if x.unlisted >= doubtAfter {
				x.unlisted = 0
				s.do(func() { h.learn(s.ctx, s.session, n); h.wake() })
			}
			continue
		}
		if x.state == cluster.Elsewhere {
			h.updateLocked(n, func(x *share) { x.state, x.detail = cluster.Waiting, "owned by session "+x.owner })
		}
		if !slices.Contains(silent, x.owner) {
			silent = append(silent, x.owner)
		}
	}
	for _, owner := range silent {
		if slices.ContainsFunc(s.watched, func(w watched) bool { return w.owner == owner }) {
			continue
		}
		h.opts.Log.Info("waiting for the owner", "hub", h.opts.Name, "owner", owner)
		ctx, cancel := h.opts.Sched.WithCancel(s.ctx)
		s.watched = append(s.watched, watched{owner, cancel})
		s.do(func() { s.observe(ctx, owner) })
	}
	for _, w := range s.watched {
		if !slices.Contains(silent, w.owner) {
			w.cancel(nil) // it speaks again
		}
	}
}

// observe returns when a silent owner's session has ended, and its partitions are free.
func (s *steward) observe(ctx context.Context, owner string) {
	h := s.h
	observer := lease.Observer{
		Config: h.leaseConfig(), Dead: h.opts.Dead,
		Seen: func(r lease.Record, bad error) { h.glimpsed(owner, r, bad) },
	}
	gone, err := observer.Gone(ctx, owner)
	if err != nil && ctx.Err() == nil {
		h.opts.Log.Error("the owner of partitions cannot be observed", "hub", h.opts.Name, "owner", owner, "error", err)
		_ = h.opts.Sched.Sleep(ctx, time.Second)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.watched = slices.DeleteFunc(s.watched, func(w watched) bool { return w.owner == owner })
	h.news.Fire()
	if err != nil {
		return
	}
	h.opts.Log.Info("owner is gone", "hub", h.opts.Name, "owner", owner, "state", gone.State)
	for n := range h.parts {
		if x := &h.parts[n]; x.owner == owner && !x.free {
			h.release(n, x.epoch, false)
		}
	}
	h.members = slices.DeleteFunc(h.members, func(m *member) bool { return m.session == owner })
	h.changed = h.opts.Sched.Mono()
}

// claim starts to serve the free partitions that fall to this host: each goes to the host
// with the fewest, so that hosts that see the same decide the same.
func (s *steward) claim() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	loads := h.loads()
	for n := range h.parts {
		x := &h.parts[n]
		if !x.free || h.stopping {
			continue
		}
		if x.resting && h.sleep.sleepy && h.opts.Sched.Mono()-x.freeSince < claimPatience {
			continue // this host is about to hibernate as well
		}
		// Without a network two hosts must not share a hub by halves: whoever has the first
		// partition goes on to the others.
		if h.net == nil && n > 0 && (h.parts[0].free || !h.parts[0].mine(s.session.ID()) || h.parts[0].state == cluster.Opening) {
			continue
		}
		to := lightest(loads)
		if x.inherited {
			to = 0
		}
		loads[to].parts++
		if to == 0 || h.opts.Sched.Mono()-x.freeSince > claimPatience {
			s.start(n)
		}
	}
}

// start begins to serve a free partition. Called with the lock held.
func (s *steward) start(n int) {
	me, ended := s.session.ID(), s.h.parts[n].owner
	s.h.updateLocked(n, func(x *share) {
		x.owner, x.address, x.free, x.inherited, x.heir, x.resting, x.state, x.detail = me, "", false, false, false, false, cluster.Opening, ""
	})
	s.do(func() { s.serve(n, ended) })
}

// load is how many partitions a host has.
type load struct {
	session, address string
	parts            int
}

// loads lists this host, which comes first, and those that are heard and stay. Called with
// the lock held.
func (h *Hub) loads() []load {
	list := []load{{session: h.session.ID()}}
	for _, m := range h.members {
		if h.audible(m) && !m.leaving {
			list = append(list, load{session: m.session, address: m.address})
		}
	}
	for n := range list {
		for _, x := range h.parts {
			if x.mine(list[n].session) {
				list[n].parts++
			}
		}
	}
	return list
}

// lightest is the index of the host with the fewest partitions; of several the one whose
// session comes first, so that all hosts choose the same.
func lightest(list []load) int {
	best := 0
	for n, l := range list {
		if b := list[best]; l.parts < b.parts || l.parts == b.parts && l.session < b.session {
			best = n
		}
	}
	return best
}

// serve opens a partition again and again, as long as it is this host's. ended is the
// session that is known to have ended, if it owned the partition before.
func (s *steward) serve(n int, ended string) {
	h := s.h
	cfg := h.partitionConfig(s.session, n)
	for attempt := 0; s.ctx.Err() == nil && !h.isStopping(); attempt++ {
		d := h.newDesk(n)
		cfg.Exec = d
		part, err := partition.Open(s.ctx, cfg, ended)
		if err == nil {
			attempt = 0
			d.open(part)
			if !h.update(n, func(x *share) { x.part, x.state, x.detail, x.epoch = part, cluster.Serving, "", part.Epoch() }) {
				part.Abandon(ErrStopped) // Stop did not see it among those to be stopped
			}
			h.wake() // the others are told
			// The right code may have been put back while nobody served the partition.
			part.Do(reconsider, func(error) {})
			h.resendTo(n)
			_ = part.Done().Wait(context.Background()) // a partition ends with its session or with the hub
			err = part.Err()
			d.close()
			if h.handedOver(n, part) {
				return
			}
		}
		d.close()
		var corrupt *partition.CorruptError
		switch {
		case h.isStopping() || s.ctx.Err() != nil:
		case errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrDamaged):
			h.update(n, func(x *share) { x.part, x.state, x.detail = nil, cluster.Parked, err.Error() })
			h.wake()
			h.opts.Log.Error("partition is parked: an object is corrupt, its bytes are kept", "hub", h.opts.Name, "partition", n, "error", err)
			return
		case errors.Is(err, partition.ErrOwned), errors.Is(err, partition.ErrFenced):
			h.opts.Log.Info("another host has the partition", "hub", h.opts.Name, "partition", n, "reason", err)
			h.update(n, func(x *share) { x.part, x.owner, x.state = nil, "", cluster.Opening })
			h.learn(s.ctx, s.session, n)
			h.wake()
			return
		case err != nil:
			h.update(n, func(x *share) { x.part, x.state, x.detail = nil, cluster.Opening, err.Error() })
			h.opts.Log.Warn("partition is not served", "hub", h.opts.Name, "partition", n, "error", err)
			_ = h.opts.Sched.Sleep(s.ctx, min(100*time.Millisecond<<min(attempt, 5), 3*time.Second))
		}
	}
}
