package cluster

import (
	"slices"
	"time"
)

const (
	// soon is how many times HibernateAfter no timer may be due: to hibernate and to wake
	// costs as many requests as five minutes of renewals.
	soon = 5
	// plansUntilIdle is how often the plan is made in the time after which a hub hibernates.
	plansUntilIdle = 6
	// WakeAhead is how long before a timer the host that had its partition wakes; another
	// one waits up to as long, so that mostly one of them claims.
	WakeAhead = time.Second
)

// Activity is what this host does at the moment.
type Activity struct {
	Stopping bool // it leaves the hub
	Moving   bool // it hands a partition over
	Asking   bool // it has asked for one
	// Requests is how many were begun; Answering: one of them is under way.
	Requests  uint64
	Answering bool
	// Served has an entry for each partition of the hub; those that this host does not serve
	// do not count.
	Served []Idleness
}

// Idleness is what a partition that this host serves does.
type Idleness struct {
	Serving bool   // it serves, as the partition itself knows
	Seq     uint64 // of its last log record
	Busy    bool   // something is under way
	Timer   int64  // of its next timer, Unix nanoseconds; 0: none
}

// quiet is since when nothing has happened.
type quiet struct {
	requests uint64
	seqs     []uint64 // log records of the partitions that this host serves
	since    time.Duration
}

// noteActivity finds out whether this host would hibernate.
func (v *View) noteActivity(now time.Duration, wall int64, a Activity) {
	v.activity = a
	seen := quiet{requests: a.Requests, since: now}
	calm := !a.Stopping && !a.Moving && !a.Asking && !a.Answering
	worth := wall + int64(soon*v.cfg.HibernateAfter)
	for n := range v.parts {
		p := &v.parts[n]
		switch {
		case v.Mine(n) && p.served && p.State == Serving && a.Served[n].Serving:
			i := a.Served[n]
			seen.seqs = append(seen.seqs, i.Seq)
			calm = calm && !i.Busy && (i.Timer == 0 || i.Timer > worth)
		case p.Released, p.State == Elsewhere && !p.given && v.hears(now, p.Owner):
			seen.seqs = append(seen.seqs, 0)
		default:
			calm = false
		}
	}
	if !calm || seen.requests != v.quiet.requests || !slices.Equal(seen.seqs, v.quiet.seqs) {
		v.quiet = seen
	}
	v.idle = calm && v.cfg.HibernateAfter > 0 && now-v.quiet.since >= v.cfg.HibernateAfter
}

// Hibernate notes that the partitions that this host serves are being released.
func (v *View) Hibernate() {
	v.hibernating = true
	for n := range v.parts {
		if v.Mine(n) && v.parts[n].served {
			v.setState(n, Dormant, v.parts[n].Detail)
		}
	}
}

// Released notes that partition n was released to hibernate. wakeAt is the moment of its next
// timer (Unix nanoseconds; 0: none).
func (v *View) Released(now time.Duration, n int, epoch uint64, wakeAt int64) {
	v.Dropped(now, n, epoch)
	v.setReleased(n, wakeAt, 0)
}

// Hibernated notes whether the release of all partitions, and the end of the session, have
// worked; else the host goes on with what is left.
func (v *View) Hibernated(ok bool) {
	v.idle = false
	v.dormant, v.hibernating = ok, ok
}

// Awake ends the hibernation.
func (v *View) Awake(now time.Duration) {
	v.dormant, v.hibernating = false, false
	for _, h := range v.hosts {
		h.firstSeen = now // they are told, and may take a while to wake
	}
}

// IsDormant reports whether this host hibernates.
func (v *View) IsDormant() bool { return v.dormant }

// WakeAt is when some partition has to be served, Unix nanoseconds, if any is.
func (v *View) WakeAt() (wall int64, ok bool) {
	for n := range v.parts {
		if p := &v.parts[n]; p.Released && p.WakeAt != 0 && (!ok || p.WakeAt < wall) {
			wall, ok = p.WakeAt, true
		}
	}
	return wall, ok
}
