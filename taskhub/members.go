package taskhub

import (
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// member is another host of the hub.
type member struct {
	session string
	address string
	met     time.Duration // Mono
	heard   time.Duration // Mono of its last Hello; 0: never, or the connection broke since
	leaving bool          // it takes no partitions and no work any more
	sleepy  bool          // it would hibernate
	asleep  bool          // it does, and its session has ended

	spoke  time.Duration   // Mono of its last sign of life of any kind
	offers []work.Function // what it said that it can run
	skills skills          // the same, less what it was found not to have since
	room   [work.Kinds]int // how many more items it can begin, as far as this host knows
}

// Timings of the hosts' talk, as parts of the lease: a host that has been silent for three
// intervals is looked up in the bucket, and taken over from only if it is silent there too.
const (
	hellosPerLease = 5
	silentHellos   = 3
	minHello       = 200 * time.Millisecond
	maxHello       = 3 * time.Second
	// strangers are hosts that own nothing and do not answer; they are forgotten after so
	// many intervals.
	strangerHellos = 20
)

func (h *Hub) helloEvery() time.Duration {
	return min(max(h.opts.Lease/hellosPerLease, minHello), maxHello)
}

// meet notes that there is another host. Called with the lock held.
func (h *Hub) meet(session, address string) *member {
	if session == "" || address == "" || h.net == nil || session == h.session.ID() || address == h.opts.About.Address {
		return nil // this host, perhaps in a session before
	}
	if n := slices.IndexFunc(h.members, func(m *member) bool { return m.session == session }); n >= 0 {
		return h.members[n]
	}
	// A process has one address and a new session with each start: the others at this
	// address are gone, but only the bucket says so.
	m := &member{session: session, address: address, met: h.opts.Sched.Mono()}
	h.members = append(h.members, m)
	h.changed = m.met
	h.news.Fire()
	return m
}

// hears says whether a host has spoken lately. Called with the lock held.
func (h *Hub) hears(session string) bool {
	n := slices.IndexFunc(h.members, func(m *member) bool { return m.session == session })
	return n >= 0 && h.audible(h.members[n])
}

func (h *Hub) audible(m *member) bool {
	return m.heard != 0 && !m.asleep && h.opts.Sched.Mono()-m.heard < silentHellos*h.helloEvery()
}

// forgetStrangers drops hosts that own nothing and say nothing. Called with the lock held.
func (h *Hub) forgetStrangers() {
	h.members = slices.DeleteFunc(h.members, func(m *member) bool {
		last := max(m.met, m.heard)
		gone := !h.audible(m) && h.opts.Sched.Mono()-last > strangerHellos*h.helloEvery() &&
			!slices.ContainsFunc(h.parts, func(s share) bool { return s.owner == m.session && !s.free })
		if gone {
			h.changed = h.opts.Sched.Mono()
		}
		return gone
	})
}

// greet tells the other hosts that this one is alive, and what it owns. A host whose lease
// cannot be trusted says nothing: the others must look after its partitions.
func (h *Hub) greet() {
	if h.net == nil {
		return
	}
	h.mu.Lock()
	me := h.session
	hello := &transport.Hello{Session: me.ID(), Address: h.opts.About.Address, Leaving: h.stopping || h.leaving, Sleepy: h.sleep.sleepy}
	for n, s := range h.parts {
		switch {
		case s.mine(me.ID()) && (s.part != nil || s.state == cluster.Parked):
			hello.Owned = append(hello.Owned, &transport.Owned{Partition: uint32(n), Epoch: s.epoch})
		case s.heir:
			hello.Owned = append(hello.Owned, &transport.Owned{
				Partition: uint32(n), Epoch: s.epoch, Heir: &transport.Host{Session: s.owner, Address: s.address},
			})
		}
	}
	var to []string
	for _, m := range h.members {
		to = append(to, m.address)
		if h.audible(m) {
			hello.Known = append(hello.Known, &transport.Host{Session: m.session, Address: m.address})
		}
	}
	h.mu.Unlock()
	if !me.Alive() {
		return
	}
	h.offer(hello)
	post := &transport.Post{Hub: h.id, What: &transport.Post_Hello{Hello: hello}}
	for _, address := range to {
		h.net.Peer(address).Post(post)
	}
}

// heard takes another host's Hello.
func (h *Hub) heard(hello *transport.Hello) {
	h.mu.Lock()
	me := h.session.ID()
	m := h.meet(hello.Session, hello.Address)
	if m == nil {
		h.mu.Unlock()
		return
	}
	if !h.audible(m) || m.leaving != hello.Leaving {
		h.changed = h.opts.Sched.Mono()
		h.news.Fire()
	}
	if m.asleep && !hello.Asleep {
		h.mu.Unlock()
		return // old news: it wakes under another session
	}
	if m.sleepy != hello.Sleepy || m.asleep != hello.Asleep {
		h.news.Fire()
	}
	news := m.learnSkills(hello) || !h.takesWork(m)
	m.heard, m.leaving, m.sleepy, m.asleep = h.opts.Sched.Mono(), hello.Leaving, hello.Sleepy, hello.Asleep
	m.spoke = m.heard
	h.slumbers(hello)
	if !hello.Sleepy {
		h.rouseLocked()
	}
	waits := h.sleep.asleep && hello.Sleepy && !hello.Asleep // for this host to sleep
	for _, k := range hello.Known {
		h.meet(k.Session, k.Address)
	}
	for n := range h.parts {
		if s := &h.parts[n]; s.owner == hello.Session && !s.free {
			s.unlisted++ // until it is found below
		}
	}
	var moved []int
	for _, o := range hello.Owned {
		n := int(o.Partition)
		if n >= len(h.parts) {
			continue
		}
		s := &h.parts[n]
		if s.owner == hello.Session && o.Heir == nil {
			s.unlisted = 0
		}
		switch {
		case o.Epoch < s.epoch || s.mine(me) && s.part != nil && !s.part.Done().Fired():
			// Old news; and who is fenced finds out from the log.
		case o.Heir != nil && o.Heir.Session == me:
			if !s.mine(me) && !s.inherited {
				h.release(n, o.Epoch, true)
				h.news.Fire()
			}
		case o.Heir != nil:
			if o.Epoch > s.epoch || s.owner != o.Heir.Session {
				h.belongs(n, o.Heir.Session, o.Heir.Address, o.Epoch)
				h.meet(o.Heir.Session, o.Heir.Address)
			}
		case o.Epoch > s.epoch || s.owner == "" || s.free && s.owner != hello.Session || s.state == cluster.Waiting:
			if s.mine(me) && s.state != cluster.Parked {
				continue // this host is claiming it, and will see
			}
			again := s.owner == hello.Session && o.Epoch == s.epoch
			h.belongs(n, hello.Session, hello.Address, o.Epoch)
			if !again {
				moved = append(moved, n)
			}
		}
	}
	h.mu.Unlock()
	if news {
		h.yield()
	}
	if waits {
		h.sayAsleep(hello.Address)
	}
	for _, n := range moved {
		h.resendTo(n)
	}
}

// lost notes that the connection to an address broke.
func (h *Hub) lost(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.members {
		if m.address == address && m.heard != 0 {
			m.heard = 0
			h.changed = h.opts.Sched.Mono()
			h.news.Fire()
		}
	}
}
