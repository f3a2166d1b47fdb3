package cluster

import (
	"fmt"
	"strings"
	"time"
)

// game makes random views: either of random fields, or by random calls of what changes them,
// in an order that no host would keep to.
type game struct {
	dice func(n int) int // 0 to n-1
	v    *View
	now  time.Duration
	log  []string
}

func (g *game) String() string {
	return fmt.Sprintf("%s\nat %v: %+v", strings.Join(g.log, "\n"), g.now, g.v)
}

func (g *game) one(of ...time.Duration) time.Duration { return of[g.dice(len(of))] }

func (g *game) chance(percent int) bool { return g.dice(100) < percent }

func (g *game) session() string { return string(rune('j' + g.dice(6))) } // j to o, m among them

func (g *game) peer() Peer {
	if g.chance(5) {
		return Peer{g.session(), ""}
	}
	return peer(g.session())
}

func (g *game) epoch() uint64 { return uint64(g.dice(6)) }

// play shows several views.
func (g *game) play(show func(v *View, now time.Duration)) {
	partitions := 1 + g.dice(6)
	g.now = clock
	g.v = New(Config{
		Partitions: partitions, Lease: g.one(lease, time.Minute, time.Second/2),
		HibernateAfter: g.one(quit, time.Second, time.Nanosecond, 0, -1), Alone: g.chance(10),
	})
	g.v.activity.Served = make([]Idleness, partitions)
	g.v.Join(0, peer("m"), g.one(0, lease))
	if g.chance(50) {
		for range 20 {
			g.fields()
			show(g.v, g.now)
		}
		return
	}
	for range 10 + g.dice(30) {
		g.step()
		show(g.v, g.now)
	}
}

// fields sets everything that the plan depends on. Half of the views are calm: all hosts are
// there and nothing is on its way, as it is most of the time.
func (g *game) fields() {
	v, calm := g.v, g.chance(50)
	rare := func(percent int) bool { return !calm && g.chance(percent) }
	ago := func() time.Duration {
		if calm && g.chance(95) {
			return g.now - v.HeartbeatEvery()
		}
		beat := v.HeartbeatEvery()
		return g.now - g.one(0, beat, 3*beat-1, 3*beat, claimPatience-1, claimPatience, claimPatience+1, v.cfg.Lease-1, v.cfg.Lease, clock)
	}
	v.hostsSince, v.joined = ago(), ago()
	if calm {
		v.hostsSince, v.joined = g.now-v.cfg.Lease, 0
	}
	v.idle = g.chance(30)
	v.activity.Stopping, v.activity.Asking = rare(10), rare(10)
	v.hosts = nil
	for _, s := range []string{"o", "j", "n", "k", "l"}[g.dice(4):] {
		if !rare(30) {
			v.hosts = append(v.hosts, &host{
				Peer: peer(s), firstSeen: 1, lastSeen: ago(), idle: v.idle && g.chance(90), leaving: rare(10), dormant: rare(10),
			})
		}
	}
	owners := []string{"k", "l", "m", "n", "o", "j", ""}[:2+g.dice(6)]
	for n := range v.parts {
		p := &v.parts[n]
		*p = part{
			Partition: Partition{State: Serving, Owner: owners[g.dice(len(owners))], Epoch: g.epoch(), Free: rare(40), Released: rare(30)},
			freeSince: ago(), assigned: rare(10), missed: g.dice(5) * g.dice(2), given: rare(3),
		}
		if rare(50) {
			p.State = []State{Opening, Elsewhere, Waiting, Serving, Moving, Parked, Dormant, Stopped}[g.dice(8)]
		}
		p.served = p.Owner == "m" && !rare(20)
	}
}

// step lets something happen, and a tick.
func (g *game) step() {
	v, n := g.v, g.dice(len(g.v.parts))
	switch g.dice(22) {
	case 0, 1, 2, 3, 4, 5:
		b := g.heartbeat()
		g.note("heartbeat %+v", b)
		v.Heartbeat(g.now, g.one(0, WakeAhead), b)
	case 6, 7:
		r := Root{Missing: g.chance(5), Epoch: g.epoch(), Live: g.chance(70)}
		if g.chance(70) {
			r.Owner = g.session()
			r.Address = r.Owner + ":1"
		}
		g.note("root %d %+v", n, r)
		if v.dormant {
			v.RootWhileDormant(g.now, 0, n, r)
		} else {
			v.Root(g.now, n, r)
		}
	case 8, 9:
		for _, n := range v.Plan(g.now).Claim {
			g.note("claim %d", n)
			v.Claiming(n)
		}
	case 10, 11:
		for n := range v.parts {
			if v.Mine(n) && g.chance(80) {
				g.note("serve %d", n)
				v.Serving(n, v.parts[n].Epoch+1)
			}
		}
	case 12:
		g.note("observed and recheck %d", n)
		v.Observed(g.now, g.peer(), "")
		v.Recheck(n)
	case 13:
		s := g.session()
		g.note("ended %s", s)
		v.Ended(g.now, s)
	case 14:
		p := g.peer()
		g.note("disconnected %v", p)
		v.Disconnected(g.now, p.Address)
	case 15:
		to := g.peer()
		g.note("hand over %d to %v", n, to)
		v.Moving(n)
		v.HandedOver(n, g.epoch(), to)
	case 16:
		g.note("drop %d, meet", n)
		v.Dropped(g.now, n, g.epoch())
		v.Meet(g.now, g.peer())
	case 17:
		g.note("failed %d", n)
		v.Failed(n, []State{Opening, Parked}[g.dice(2)], "")
	case 18:
		g.note("fenced %d", n)
		v.Fenced(n)
	case 19:
		g.hibernate()
	case 20:
		g.note("another session")
		v.Forget()
		v.Join(g.now, peer("m"), 0)
	default:
		g.now += g.one(1, time.Second, 3*time.Second, time.Minute)
	}
	a := Activity{Stopping: g.chance(3), Asking: g.chance(10), Requests: uint64(g.dice(20) / 19), Served: make([]Idleness, len(v.parts))}
	for n := range a.Served {
		a.Served[n].Serving = true
	}
	v.Tick(g.now, wall, a)
}

func (g *game) hibernate() {
	v := g.v
	g.note("hibernate")
	v.Hibernate()
	for n := range v.parts {
		if v.Mine(n) {
			v.Released(g.now, n, v.parts[n].Epoch, int64(g.dice(2))*wall)
		}
	}
	v.Hibernated(g.chance(80))
	if g.chance(50) {
		v.Awake(g.now)
	}
}

func (g *game) heartbeat() *Heartbeat {
	b := &Heartbeat{Peer: g.peer(), Leaving: g.chance(5), Idle: g.chance(30), Dormant: g.chance(5)}
	for range g.dice(4) {
		o := Owned{Partition: g.dice(8) - 1, Epoch: g.epoch()}
		if g.chance(20) {
			o.Successor = g.peer()
		}
		b.Owned = append(b.Owned, o)
	}
	for range g.dice(2) {
		b.Released = append(b.Released, Released{g.dice(8) - 1, g.epoch(), int64(g.dice(2)) * wall})
	}
	for range g.dice(2) {
		b.Known = append(b.Known, g.peer())
	}
	return b
}

func (g *game) note(format string, args ...any) {
	g.log = append(g.log, fmt.Sprintf("%v: ", g.now)+fmt.Sprintf(format, args...))
}
