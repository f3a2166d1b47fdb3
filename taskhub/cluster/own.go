package cluster

import "time"

// What this host does with partitions.

// Forget forgets who owns which partition, until the roots are read.
func (v *View) Forget() {
	for n := range v.parts {
		v.parts[n] = part{Partition: Partition{Epoch: v.parts[n].Epoch}, freeSince: v.parts[n].freeSince}
		v.setState(n, Opening, "")
	}
}

// Close notes that this host serves no partition any more, and why: Opening when there will
// be another session, Dormant or Stopped.
func (v *View) Close(s State) {
	for n := range v.parts {
		v.parts[n].served = false
		v.setState(n, s, "")
	}
}

// Claiming notes that this host begins to serve partition n. It returns the session that is
// known to have ended, if it owned the partition before.
func (v *View) Claiming(n int) (ended string) {
	p := &v.parts[n]
	ended = p.Owner
	p.Owner, p.Address = v.self.Session, ""
	p.Free, p.Released, p.assigned, p.given = false, false, false, false
	v.setState(n, Opening, "")
	return ended
}

// Serving notes that partition n is open, under an epoch.
func (v *View) Serving(n int, epoch uint64) {
	v.parts[n].served, v.parts[n].Epoch = true, epoch
	v.setState(n, Serving, "")
}

// Failed notes that partition n is not open, and stays this host's: Opening when it is
// tried again, or Parked.
func (v *View) Failed(n int, s State, detail string) {
	v.parts[n].served = false
	v.setState(n, s, detail)
}

// Fenced notes that another host has partition n.
func (v *View) Fenced(n int) {
	v.parts[n].served, v.parts[n].Owner = false, ""
	v.setState(n, Opening, v.parts[n].Detail)
}

// Moving notes that partition n is being handed over.
func (v *View) Moving(n int) { v.setState(n, Moving, "") }

// HandedOver notes that partition n was released to another host.
func (v *View) HandedOver(n int, epoch uint64, to Peer) {
	v.setOwner(n, to, epoch)
	v.parts[n].served, v.parts[n].given = false, true
}

// Dropped notes that this host has stopped to serve partition n, and claims it again.
func (v *View) Dropped(now time.Duration, n int, epoch uint64) {
	v.setFree(now, n, epoch, true)
	v.parts[n].served, v.parts[n].Owner = false, v.self.Session
}

// GivenUp reports whether this host has given partition n away, or is about to: its end
// is no failure.
func (v *View) GivenUp(n int) bool {
	p := &v.parts[n]
	return p.State == Moving || p.State == Dormant || p.given || !v.Mine(n)
}

// Grant chooses the partition that goes to a host which asks for one and owns so many; ok is
// false if it would then have more than this one keeps.
func (v *View) Grant(owned int) (n int, ok bool) {
	mine, chosen := 0, -1
	for n := range v.parts {
		if v.Mine(n) {
			mine++
			if v.parts[n].served && v.parts[n].State == Serving {
				chosen = n
			}
		}
	}
	return chosen, chosen >= 0 && mine >= owned+2
}

// Meet notes that there is another host.
func (v *View) Meet(now time.Duration, p Peer) (c Changes) {
	_, c.Replan = v.meet(now, p)
	return c
}

// Successors lists, for every partition that this host serves, to whom it goes when this
// host leaves: each to the host that has the fewest then. Without another host, and for
// partitions that are not served or move already, a Peer is zero.
func (v *View) Successors(now time.Duration) []Peer {
	to := make([]Peer, len(v.parts))
	loads := v.hostLoads(now)[1:]
	for n := range v.parts {
		if p := &v.parts[n]; !p.served || p.State == Moving || len(loads) == 0 {
			continue
		}
		l := leastLoaded(loads)
		loads[l].parts++
		to[n] = loads[l].Peer
	}
	return to
}

// HasSuccessor reports whether there is a host that takes partitions over.
func (v *View) HasSuccessor(now time.Duration) bool { return len(v.hostLoads(now)) > 1 }
