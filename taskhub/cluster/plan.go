package cluster

import (
	"slices"
	"time"
)

const (
	// claimPatience is how long a partition that another host should claim is left to it.
	claimPatience = 2 * time.Second
	// missedBeforeRecheck is after how many heartbeats without a partition its owner is no
	// longer believed to have it.
	missedBeforeRecheck = 3
)

// Plan is what a host should do.
type Plan struct {
	Observe []string // sessions that are silent: exactly these are watched in the bucket
	Recheck []int    // partitions whose roots are to be read
	Claim   []int    // partitions to serve
	// Ask, unless zero, is the host to be asked for a partition; this one has Owned.
	Ask   Peer
	Owned int
	// Hibernate: no host of the hub has anything to do.
	Hibernate bool
	// Next is after how long to plan again if nothing happens.
	Next time.Duration
}

// Tick notes that time has passed, and what this host does: hosts fall silent and are
// forgotten, and the hub may have had nothing to do for long. wall is the wall clock, Unix
// nanoseconds.
func (v *View) Tick(now time.Duration, wall int64, a Activity) {
	v.forgetStale(now)
	for n := range v.parts {
		p := &v.parts[n]
		if !v.others(p) {
			continue
		}
		switch heard := v.hears(now, p.Owner); {
		case heard && p.State == Waiting:
			v.setState(n, Elsewhere, "")
		case !heard && p.State == Elsewhere:
			v.setState(n, Waiting, waitsFor(p.Owner))
		}
	}
	v.noteActivity(now, wall, a)
}

// others reports whether another host owns a partition.
func (v *View) others(p *part) bool { return p.Owner != "" && p.Owner != v.self.Session && !p.Free }

// forgetStale drops hosts that own nothing and say nothing.
func (v *View) forgetStale(now time.Duration) {
	v.hosts = slices.DeleteFunc(v.hosts, func(h *host) bool {
		last := max(h.firstSeen, h.lastSeen)
		stale := !v.alive(now, h) && now-last > staleHeartbeats*v.HeartbeatEvery() &&
			!slices.ContainsFunc(v.parts, func(p part) bool { return p.mine(h.Session) })
		if stale {
			v.hostsSince = now
		}
		return stale
	})
}

// Plan is what is to be done, by what is believed since the last Tick. It changes nothing.
func (v *View) Plan(now time.Duration) Plan {
	p := Plan{Next: v.next(), Hibernate: v.allIdle(now)}
	for n := range v.parts {
		x := &v.parts[n]
		switch {
		case !v.others(x):
		case !v.hears(now, x.Owner):
			if !slices.Contains(p.Observe, x.Owner) {
				p.Observe = append(p.Observe, x.Owner)
			}
		case x.missed >= missedBeforeRecheck:
			p.Recheck = append(p.Recheck, n)
		}
	}
	if p.Hibernate || v.activity.Stopping {
		return p
	}
	if p.Claim = v.claims(now); len(p.Claim) == 0 {
		p.Ask, p.Owned = v.ask(now)
	}
	return p
}

// allIdle reports whether this host would hibernate, and all that are heard would, or do.
func (v *View) allIdle(now time.Duration) bool {
	return v.idle && !slices.ContainsFunc(v.hosts, func(h *host) bool { return v.alive(now, h) && !h.idle })
}

// claims lists the free partitions that fall to this host: each goes to the host with the
// fewest, so that hosts that see the same decide the same.
func (v *View) claims(now time.Duration) (list []int) {
	loads := v.hostLoads(now)
	for n := range v.parts {
		p := &v.parts[n]
		if !p.Free {
			continue
		}
		if p.Released && v.idle && now-p.freeSince < claimPatience {
			continue // this host is about to hibernate as well
		}
		// Without a network two hosts must not share a hub by halves: whoever has the first
		// partition goes on to the others.
		if first := &v.parts[0]; v.cfg.Alone && n > 0 && (!first.mine(v.self.Session) || first.State == Opening) {
			continue
		}
		to := leastLoaded(loads)
		if p.assigned {
			to = 0
		}
		loads[to].parts++
		if to == 0 || now-p.freeSince > claimPatience {
			list = append(list, n)
		}
	}
	return list
}

// ask chooses the host with the most partitions, to be asked for one, if it has at least two
// more than this one, which has the fewest. The set of hosts must have been the same for the
// length of a lease, so that hosts that come and go move nothing. A host that has nothing to
// do asks too: it may have no partition while another one has too many.
func (v *View) ask(now time.Duration) (from Peer, owned int) {
	if v.cfg.Alone || v.activity.Asking || now-v.joined < v.settled || now-v.hostsSince < v.cfg.Lease {
		return Peer{}, 0
	}
	for n := range v.parts {
		if p := &v.parts[n]; p.Free || p.given || v.Mine(n) && !p.served && p.State != Parked {
			return Peer{}, 0 // what is on its way comes first
		}
	}
	loads := v.hostLoads(now)
	most := 0
	for n, l := range loads {
		if l.parts > loads[most].parts {
			most = n
		}
	}
	if leastLoaded(loads) != 0 || loads[most].parts < loads[0].parts+2 {
		return Peer{}, 0
	}
	return loads[most].Peer, loads[0].parts
}

// next is seldom when there is nobody to talk to.
func (v *View) next() time.Duration {
	wait := time.Hour
	if after := v.cfg.HibernateAfter; after > 0 {
		wait = max(after/plansUntilIdle, time.Millisecond)
	}
	if len(v.hosts) > 0 || slices.ContainsFunc(v.parts, func(p part) bool { return !p.mine(v.self.Session) }) {
		wait = min(wait, v.HeartbeatEvery())
	}
	return wait
}

// load is how many partitions a host has.
type load struct {
	Peer
	parts int
}

// hostLoads lists this host, which comes first, and those that are heard and stay.
func (v *View) hostLoads(now time.Duration) []load {
	list := []load{{Peer: v.self}}
	for _, h := range v.hosts {
		if v.alive(now, h) && !h.leaving {
			list = append(list, load{Peer: h.Peer})
		}
	}
	for n := range list {
		for i := range v.parts {
			if v.parts[i].mine(list[n].Session) {
				list[n].parts++
			}
		}
	}
	return list
}

// leastLoaded is the index of the host with the fewest partitions; of several the one whose
// session comes first, so that all hosts choose the same.
func leastLoaded(list []load) int {
	best := 0
	for n, l := range list {
		if b := list[best]; l.parts < b.parts || l.parts == b.parts && l.Session < b.Session {
			best = n
		}
	}
	return best
}
