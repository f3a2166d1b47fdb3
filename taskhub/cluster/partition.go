package cluster

import "time"

// State is what this host does with a partition, or believes that others do.
type State string

// The states.
const (
	Opening   State = "opening"   // claiming and recovering it, or finding out whose it is
	Elsewhere State = "elsewhere" // another host serves it
	Waiting   State = "waiting"   // its owner is silent; it is taken over when the lease has run out
	Serving   State = "serving"
	Moving    State = "moving"  // being handed over to another host
	Parked    State = "parked"  // an object of it is corrupt; it needs a person
	Dormant   State = "dormant" // the hub hibernates until somebody or a timer wants something
	Stopped   State = "stopped"
)

// Partition is what this host believes of one partition. It may be out of date: it leads to
// whom to ask, and decides nothing that the root does not confirm.
type Partition struct {
	State   State
	Detail  string // what it waits for, or the corrupt object
	Owner   string // session that owns it, has been given it, or owned it last; "": not known
	Address string // of the owner, if it is another host that can be reached
	Epoch   uint64 // the highest that was heard of
	// Free: nobody owns it, or Owner has ended.
	Free bool
	// Released: its last owner released it to hibernate, and it need not be served before
	// WakeAt (Unix nanoseconds; 0: no timer).
	Released bool
	WakeAt   int64
}

// part is a Partition and what else counts for the plan.
type part struct {
	Partition
	served    bool          // this host has it open
	freeSince time.Duration // since when it is Free
	assigned  bool          // its last owner has meant it for this host
	given     bool          // this host has released it to Owner, who has not been heard to have it yet
	missed    int           // heartbeats of Owner in a row that did not list it
}

// mine reports whether the host of a session has the partition or is claiming it.
func (p *part) mine(session string) bool { return p.Owner == session && !p.Free }

// setOwner notes another host's word that it owns partition n, or the root's.
func (v *View) setOwner(n int, owner Peer, epoch uint64) {
	p := &v.parts[n]
	p.Owner, p.Address, p.Epoch = owner.Session, owner.Address, epoch
	p.Free, p.Released, p.assigned, p.given, p.missed = false, false, false, false, 0
	v.setState(n, Elsewhere, "")
}

// setFree notes that nobody owns partition n any more.
func (v *View) setFree(now time.Duration, n int, epoch uint64, assigned bool) {
	p := &v.parts[n]
	if !p.Free {
		p.freeSince = now
	}
	p.Epoch, p.Address = max(p.Epoch, epoch), ""
	p.Free, p.Released, p.assigned, p.given = true, false, assigned, false
	v.setState(n, Opening, "")
}

// setReleased notes that partition n, which nobody owns, need not be served before wakeAt;
// late is by how much this host comes after another one then.
func (v *View) setReleased(n int, wakeAt int64, late time.Duration) {
	p := &v.parts[n]
	p.Released, p.WakeAt = true, wakeAt
	if wakeAt != 0 {
		p.WakeAt += int64(late - WakeAhead)
	}
	if v.hibernating {
		v.setState(n, Dormant, "")
	}
}

func (v *View) setState(n int, s State, detail string) {
	v.parts[n].State, v.parts[n].Detail = s, detail
	v.changed = append(v.changed, n)
}
