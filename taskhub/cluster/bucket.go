package cluster

import (
	"slices"
	"time"
)

// Root is what the root of a partition says of its owner, and the owner's session of itself.
type Root struct {
	// Missing: there is no root, or it cannot be read; whoever tries to claim it is told.
	Missing bool
	Epoch   uint64
	Owner   string // session; "": it was released
	// Live: the session of the owner is live, or cannot be read, which does not say that
	// its host is gone. Address is where it is reached, if that is known.
	Live    bool
	Address string
	WakeAt  int64 // see Released
}

// Root takes what the root of partition n says, while this host is awake.
func (v *View) Root(now time.Duration, n int, r Root) (c Changes) {
	p, me := &v.parts[n], v.self.Session
	switch {
	case v.Mine(n):
		// It was claimed while its root was read, perhaps by the claim that it shows.
	case r.Owner == "" || r.Owner == me:
		if r.Missing || r.Epoch > p.Epoch || r.Epoch == p.Epoch && !p.given {
			v.setFree(now, n, r.Epoch, false)
			p.Owner = me // ended or not, it keeps nobody from claiming
		}
	case r.Epoch < p.Epoch || r.Epoch == p.Epoch && p.Owner == r.Owner && !p.Free:
		// Known.
	case r.Live:
		owner := Peer{r.Owner, r.Address}
		v.setOwner(n, owner, r.Epoch)
		_, c.Replan = v.meet(now, owner)
	default:
		v.setFree(now, n, r.Epoch, false)
		p.Owner = r.Owner
	}
	return c
}

// RootWhileDormant takes what the root of partition n says, while this host hibernates.
// owned reports whether somebody owns it, who needs to be watched.
func (v *View) RootWhileDormant(now, jitter time.Duration, n int, r Root) (owned bool) {
	p := &v.parts[n]
	if r.Owner != "" {
		p.Released, p.Epoch = false, max(p.Epoch, r.Epoch)
		v.changed = append(v.changed, n)
		return true
	}
	if r.Epoch > p.Epoch || !p.Released {
		v.setFree(now, n, r.Epoch, false)
		p.Owner = ""
		v.setReleased(n, r.WakeAt, jitter)
	}
	return false
}

// Observed takes what an observer found in the session of a silent owner: where its host is
// reached, unless it has ended, or the problem of reading it. told reports whether this is new.
func (v *View) Observed(now time.Duration, owner Peer, problem string) (told bool, c Changes) {
	detail := waitsFor(owner.Session)
	if problem != "" {
		detail += ", which cannot be read: " + problem
	}
	for n := range v.parts {
		p := &v.parts[n]
		if p.Owner != owner.Session || p.Free || p.State != Waiting {
			continue
		}
		if p.Address == "" && owner.Address != "" {
			p.Address = owner.Address
			v.changed = append(v.changed, n)
			if _, isNew := v.meet(now, owner); isNew {
				c.Replan = true
			}
		}
		if p.Detail != detail {
			v.setState(n, Waiting, detail)
			told = true
		}
	}
	return told, c
}

func waitsFor(session string) string { return "owned by session " + session }

// Ended notes that a session has ended: its partitions are free.
func (v *View) Ended(now time.Duration, owner string) {
	for n := range v.parts {
		if p := &v.parts[n]; p.Owner == owner && !p.Free {
			v.setFree(now, n, p.Epoch, false)
		}
	}
	v.hosts = slices.DeleteFunc(v.hosts, func(h *host) bool { return h.Session == owner })
	v.hostsSince = now
}

// Recheck lets the next plan have the root of partition n read, if its owner is heard.
func (v *View) Recheck(n int) { v.parts[n].missed = missedBeforeRecheck }

// Rechecking notes that the root of partition n is being read.
func (v *View) Rechecking(n int) { v.parts[n].missed = 0 }
