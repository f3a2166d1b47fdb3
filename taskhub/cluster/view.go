package cluster

import (
	"slices"
	"time"
)

// Timings of heartbeats, as parts of the lease: a host that has been silent for three
// intervals is looked up in the bucket, and taken over from only if it is silent there too.
const (
	heartbeatsPerLease = 5
	silentHeartbeats   = 3
	minHeartbeat       = 200 * time.Millisecond
	maxHeartbeat       = 3 * time.Second
	// staleHeartbeats is after how many intervals a host is forgotten that owns nothing and
	// says nothing.
	staleHeartbeats = 20
)

// Config is what a View needs to know of its host and hub.
type Config struct {
	Partitions int
	Lease      time.Duration
	// HibernateAfter is how long nothing must have happened before the hub hibernates; not
	// positive: it never does.
	HibernateAfter time.Duration
	// Alone: this host cannot reach others, nor they it.
	Alone bool
}

// Peer names a host: the session under which it takes part, and where it is reached.
type Peer struct{ Session, Address string }

// Host is another host of the hub, or what is left of it.
type Host struct {
	Peer
	// Alive: it has spoken lately. New: it was met so lately that it cannot have spoken yet.
	Alive, New bool
	// Leaving: it takes no partitions and no work any more. Idle: it would hibernate.
	// Dormant: it does, and its session has ended.
	Leaving, Idle, Dormant bool
}

// host is a Host and when it was seen.
type host struct {
	Peer
	firstSeen, lastSeen    time.Duration // lastSeen 0: never, or the connection broke since
	leaving, idle, dormant bool
}

// View is what one host believes. It is not safe for concurrent use.
type View struct {
	cfg  Config
	self Peer
	// joined is when the session began; partitions are moved only settled after that.
	joined, settled time.Duration

	parts       []part
	hosts       []*host       // the others, in the order in which they were met
	hostsSince  time.Duration // when the set of hosts last changed
	activity    Activity
	quiet       quiet
	idle        bool // this host would hibernate
	hibernating bool // the partitions are being released, or have been
	dormant     bool // and the session has ended

	changed []int // partitions, since Drain
}

// New makes a View that knows nothing.
func New(cfg Config) *View {
	v := &View{cfg: cfg, parts: make([]part, cfg.Partitions)}
	for n := range v.parts {
		v.parts[n].State = Opening
	}
	return v
}

// Join begins a new session under self. What is believed of partitions and hosts stays: see
// Forget. Partitions are moved to this host only when settled has passed.
func (v *View) Join(now time.Duration, self Peer, settled time.Duration) {
	v.self, v.joined, v.settled = self, now, settled
	v.quiet = quiet{}
}

// HeartbeatEvery is how often hosts tell each other that they are alive.
func (v *View) HeartbeatEvery() time.Duration {
	return min(max(v.cfg.Lease/heartbeatsPerLease, minHeartbeat), maxHeartbeat)
}

// Partition is what is believed of partition n.
func (v *View) Partition(n int) Partition { return v.parts[n].Partition }

// Mine reports whether this host has partition n or is claiming it.
func (v *View) Mine(n int) bool { return v.parts[n].mine(v.self.Session) }

// Drain lists the partitions of which something else is believed since the last call, some
// more than once.
func (v *View) Drain() []int {
	list := v.changed
	v.changed = nil
	return list
}

// Hosts lists the others, in the order in which they were met.
func (v *View) Hosts(now time.Duration) []Host {
	if len(v.hosts) == 0 {
		return nil
	}
	list := make([]Host, len(v.hosts))
	for i, h := range v.hosts {
		list[i] = Host{
			Peer: h.Peer, Alive: v.alive(now, h), Leaving: h.leaving, Idle: h.idle, Dormant: h.dormant,
			New: h.lastSeen == 0 && now-h.firstSeen < silentHeartbeats*v.HeartbeatEvery(),
		}
	}
	return list
}

// meet notes that there is another host; isNew that it was not known. It is nil for this
// one, perhaps in a session before.
func (v *View) meet(now time.Duration, p Peer) (h *host, isNew bool) {
	if p.Session == "" || p.Address == "" || v.cfg.Alone || p.Session == v.self.Session || p.Address == v.self.Address {
		return nil, false
	}
	if n := slices.IndexFunc(v.hosts, func(h *host) bool { return h.Session == p.Session }); n >= 0 {
		return v.hosts[n], false
	}
	// A process has one address and a new session with each start: the others at this
	// address are gone, but only the bucket says so.
	h = &host{Peer: p, firstSeen: now}
	v.hosts = append(v.hosts, h)
	v.hostsSince = now
	return h, true
}

// alive reports whether a host has spoken lately.
func (v *View) alive(now time.Duration, h *host) bool {
	return h.lastSeen != 0 && !h.dormant && now-h.lastSeen < silentHeartbeats*v.HeartbeatEvery()
}

// hears is alive for the host of a session.
func (v *View) hears(now time.Duration, session string) bool {
	return slices.ContainsFunc(v.hosts, func(h *host) bool { return h.Session == session && v.alive(now, h) })
}
