package cluster

import "time"

// Heartbeat is what a host tells the others.
type Heartbeat struct {
	Peer
	Leaving, Idle, Dormant bool       // see Host
	Owned                  []Owned    // what it serves, or has handed over
	Released               []Released // what it has released to hibernate
	Known                  []Peer     // the hosts that it hears
}

// Owned is a partition that a host owns, or has handed over to Successor, of which it has
// not heard yet that it serves.
type Owned struct {
	Partition int
	Epoch     uint64
	Successor Peer
}

// Released is a partition that nobody needs to serve before WakeAt (Unix nanoseconds; 0: no
// timer).
type Released struct {
	Partition int
	Epoch     uint64
	WakeAt    int64
}

// Changes is what follows at once from something that was learned.
type Changes struct {
	Replan bool  // the plan may be another one
	Wake   bool  // a host is not idle: the hub must not hibernate
	Moved  []int // partitions that another host serves now: messages are sent to it again
	// TellDormant: the host waits for this one, which hibernates, to do so.
	TellDormant bool
}

// Heartbeat takes another host's. jitter, up to WakeAhead, is by how much this host lets
// others be first at a timer.
func (v *View) Heartbeat(now, jitter time.Duration, b *Heartbeat) (c Changes) {
	h, isNew := v.meet(now, b.Peer)
	if h == nil {
		return c
	}
	c.Replan = isNew
	if !v.alive(now, h) || h.leaving != b.Leaving {
		v.hostsSince = now
		c.Replan = true
	}
	if h.dormant && !b.Dormant {
		return c // old news: it wakes under another session
	}
	c.Replan = c.Replan || h.idle != b.Idle || h.dormant != b.Dormant
	h.lastSeen, h.leaving, h.idle, h.dormant = now, b.Leaving, b.Idle, b.Dormant
	for _, r := range b.Released {
		v.learnReleased(now, jitter, b.Session, r)
	}
	c.Wake = !b.Idle
	c.TellDormant = v.dormant && b.Idle && !b.Dormant
	for _, p := range b.Known {
		if _, isNew := v.meet(now, p); isNew {
			c.Replan = true
		}
	}
	for n := range v.parts {
		if p := &v.parts[n]; p.Owner == b.Session && !p.Free {
			p.missed++ // until it is found below
		}
	}
	for _, o := range b.Owned {
		if v.has(o.Partition) {
			v.learnOwned(now, b.Peer, o, &c)
		}
	}
	return c
}

// has reports whether the hub has a partition n: others may say any number.
func (v *View) has(n int) bool { return 0 <= n && n < len(v.parts) }

// learnOwned takes a host's word that it owns a partition, or has handed it over.
func (v *View) learnOwned(now time.Duration, from Peer, o Owned, c *Changes) {
	n, p, mine := o.Partition, &v.parts[o.Partition], v.Mine(o.Partition)
	handedOver := o.Successor.Session != ""
	if p.Owner == from.Session && !handedOver {
		p.missed = 0
	}
	switch {
	case o.Epoch < p.Epoch || mine && p.served:
		// Old news; and who is fenced finds out from the log.
	case handedOver && o.Successor.Session == v.self.Session:
		if !mine && !p.assigned {
			v.setFree(now, n, o.Epoch, true)
			c.Replan = true
		}
	case handedOver:
		if o.Epoch > p.Epoch || p.Owner != o.Successor.Session {
			v.setOwner(n, o.Successor, o.Epoch)
			if _, isNew := v.meet(now, o.Successor); isNew {
				c.Replan = true
			}
		}
	case o.Epoch > p.Epoch || p.Owner == "" || p.Free && p.Owner != from.Session || p.State == Waiting:
		if mine && p.State != Parked {
			return // this host is claiming it, and will see
		}
		again := p.Owner == from.Session && o.Epoch == p.Epoch
		v.setOwner(n, from, o.Epoch)
		if !again {
			c.Moved = append(c.Moved, n)
		}
	}
}

// learnReleased takes a host's word that it has released a partition to hibernate.
func (v *View) learnReleased(now, jitter time.Duration, from string, r Released) {
	if !v.has(r.Partition) {
		return
	}
	p := &v.parts[r.Partition]
	if r.Epoch > p.Epoch || r.Epoch == p.Epoch && p.Owner == from && !p.Released {
		v.setFree(now, r.Partition, r.Epoch, false)
		p.Owner = from
		v.setReleased(r.Partition, r.WakeAt, jitter)
	}
}

// Tell is this host's heartbeat, and the addresses that it is for.
func (v *View) Tell(now time.Duration, leaving bool) (b *Heartbeat, to []string) {
	b = &Heartbeat{Peer: v.self, Leaving: leaving, Idle: v.idle}
	for n := range v.parts {
		p := &v.parts[n]
		switch {
		case p.mine(v.self.Session) && (p.served || p.State == Parked):
			b.Owned = append(b.Owned, Owned{Partition: n, Epoch: p.Epoch})
		case p.given:
			b.Owned = append(b.Owned, Owned{Partition: n, Epoch: p.Epoch, Successor: Peer{p.Owner, p.Address}})
		}
	}
	for _, h := range v.hosts {
		to = append(to, h.Address)
		if v.alive(now, h) {
			b.Known = append(b.Known, h.Peer)
		}
	}
	return b, to
}

// TellDormant is what a host that hibernates tells the others.
func (v *View) TellDormant() (b *Heartbeat, to []string) {
	b = &Heartbeat{Peer: v.self, Idle: true, Dormant: true}
	for n := range v.parts {
		p := &v.parts[n]
		if !p.Released || p.Owner != v.self.Session {
			continue
		}
		r := Released{Partition: n, Epoch: p.Epoch, WakeAt: p.WakeAt}
		if r.WakeAt != 0 {
			r.WakeAt += int64(WakeAhead)
		}
		b.Released = append(b.Released, r)
	}
	for _, h := range v.hosts {
		to = append(to, h.Address)
	}
	return b, to
}

// Disconnected notes that the connection to an address broke.
func (v *View) Disconnected(now time.Duration, address string) (c Changes) {
	for _, h := range v.hosts {
		if h.Address == address && h.lastSeen != 0 {
			h.lastSeen = 0
			v.hostsSince = now
			c.Replan = true
		}
	}
	return c
}
