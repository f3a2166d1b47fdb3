package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"testing"
	"time"
)

var views = flag.Int("cluster.views", 20_000, "how many random views to plan for")

// dumbPlan is Plan once more, from its comments instead of its code: everything is counted
// anew and sorted, and nothing is left out early. Plan is what it says, or one of the two is
// wrong.
func dumbPlan(v *View, now time.Duration) Plan {
	w := newWorld(v, now)
	p := Plan{Observe: w.observe(), Recheck: w.recheck(), Hibernate: w.hibernate(), Next: w.next()}
	claim := w.claim()
	from, owned := w.ask()
	switch {
	case p.Hibernate, v.activity.Stopping:
	case len(claim) > 0:
		p.Claim = claim
	default:
		p.Ask, p.Owned = from, owned
	}
	return p
}

// world is what can be counted of a view.
type world struct {
	v     *View
	now   time.Duration
	beat  time.Duration
	alive map[string]bool
	takes map[string]Peer // the hosts that take partitions
	has   map[string]int  // how many partitions each session has
	met   map[string]int  // in which order; this host is 0
}

func newWorld(v *View, now time.Duration) *world {
	w := &world{v: v, now: now, beat: v.cfg.Lease / 5, alive: map[string]bool{}, takes: map[string]Peer{}, has: map[string]int{}, met: map[string]int{}}
	if w.beat > 3*time.Second {
		w.beat = 3 * time.Second
	}
	if w.beat < 200*time.Millisecond {
		w.beat = 200 * time.Millisecond
	}
	w.takes[v.self.Session] = v.self
	for i, h := range v.hosts {
		w.met[h.Session] = i + 1
		w.alive[h.Session] = h.lastSeen != 0 && now-h.lastSeen < 3*w.beat && !h.dormant
		if w.alive[h.Session] && !h.leaving {
			w.takes[h.Session] = h.Peer
		}
	}
	for _, p := range v.parts {
		if !p.Free {
			w.has[p.Owner]++
		}
	}
	return w
}

// owners are the other hosts that own something, in the order of their first partitions.
func (w *world) owners() (list []string) {
	for _, p := range w.v.parts {
		if !p.Free && p.Owner != "" && p.Owner != w.v.self.Session {
			list = append(list, p.Owner)
		}
	}
	return list
}

func (w *world) observe() (list []string) {
	seen := map[string]bool{}
	for _, owner := range w.owners() {
		if !w.alive[owner] && !seen[owner] {
			list = append(list, owner)
		}
		seen[owner] = true
	}
	return list
}

func (w *world) recheck() (list []int) {
	others := w.owners()
	for n, p := range w.v.parts {
		if !p.Free && w.alive[p.Owner] && p.missed >= 3 && slices.Contains(others, p.Owner) {
			list = append(list, n)
		}
	}
	return list
}

func (w *world) hibernate() bool {
	busy := 0
	for _, h := range w.v.hosts {
		if w.alive[h.Session] && !h.idle {
			busy++
		}
	}
	return w.v.idle && busy == 0
}

// ranked are the hosts that take partitions, the one with the fewest of has first.
func (w *world) ranked(has map[string]int) (list []Peer) {
	for _, p := range w.takes {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i].Session, list[j].Session
		return has[a] < has[b] || has[a] == has[b] && a < b
	})
	return list
}

func (w *world) claim() (list []int) {
	v, has := w.v, map[string]int{}
	for session, n := range w.has {
		has[session] = n
	}
	firstIsOpen := !v.parts[0].Free && v.parts[0].Owner == v.self.Session && v.parts[0].State != Opening
	for n, p := range v.parts {
		free := w.now - p.freeSince
		aboutToSleep := p.Released && v.idle && free < 2*time.Second
		notBefore := v.cfg.Alone && n != 0 && !firstIsOpen
		if !p.Free || aboutToSleep || notBefore {
			continue
		}
		to := w.ranked(has)[0].Session
		if p.assigned {
			to = v.self.Session
		}
		has[to]++
		if to == v.self.Session || free > 2*time.Second {
			list = append(list, n)
		}
	}
	return list
}

func (w *world) ask() (from Peer, owned int) {
	v := w.v
	underWay := 0
	for _, p := range v.parts {
		opening := !p.Free && p.Owner == v.self.Session && !p.served && p.State != Parked
		if p.Free || p.given || opening {
			underWay++
		}
	}
	settled := w.now-v.joined >= v.settled && w.now-v.hostsSince >= v.cfg.Lease
	fewest := w.ranked(w.has)
	most := slices.Clone(fewest)
	sort.Slice(most, func(i, j int) bool {
		a, b := most[i].Session, most[j].Session
		return w.has[a] > w.has[b] || w.has[a] == w.has[b] && w.met[a] < w.met[b]
	})
	mine := w.has[v.self.Session]
	if underWay == 0 && settled && !v.cfg.Alone && !v.activity.Asking &&
		fewest[0] == v.self && w.has[most[0].Session] >= mine+2 {
		return most[0], mine
	}
	return Peer{}, 0
}

func (w *world) next() time.Duration {
	wait := []time.Duration{time.Hour}
	if w.v.cfg.HibernateAfter > 0 {
		wait[0] = max(w.v.cfg.HibernateAfter/6, time.Millisecond)
	}
	if len(w.v.hosts) > 0 || w.has[w.v.self.Session] < len(w.v.parts) {
		wait = append(wait, w.beat)
	}
	return slices.Min(wait)
}

// compare makes both plans of a view, and checks what is true of any.
func compare(v *View, now time.Duration) error {
	before := clone(v)
	got, want := v.Plan(now), dumbPlan(v, now)
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("plan: %+v\nthe dumb one's: %+v", got, want)
	}
	if !reflect.DeepEqual(v, before) {
		return fmt.Errorf("the plan has changed the view to %+v, it was %+v", v, before)
	}
	for _, n := range got.Claim {
		if !v.parts[n].Free {
			return fmt.Errorf("partition %d is to be claimed, and is not free", n)
		}
	}
	for _, session := range got.Observe {
		if v.hears(now, session) || session == v.self.Session {
			return fmt.Errorf("%s is to be observed, and is heard", session)
		}
	}
	return nil
}

// clone copies a view with all that it points to.
func clone(v *View) *View {
	c := *v
	c.parts, c.changed = slices.Clone(v.parts), slices.Clone(v.changed)
	c.hosts = slices.Clone(v.hosts)
	for i, h := range c.hosts {
		one := *h
		c.hosts[i] = &one
	}
	c.activity.Served = slices.Clone(v.activity.Served)
	c.quiet.seqs = slices.Clone(v.quiet.seqs)
	return &c
}

func TestPlanIsWhatItSays(t *testing.T) {
	compared := 0
	did := map[string]int{}
	for seed := uint64(0); compared < *views; seed++ {
		rnd := rand.New(rand.NewPCG(seed, 0))
		g := &game{dice: rnd.IntN}
		g.play(func(v *View, now time.Duration) {
			if err := compare(v, now); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, g)
			}
			compared++
			count(did, v.Plan(now))
		})
	}
	for _, what := range []string{"observe", "recheck", "claim", "ask", "hibernate"} {
		if did[what] < compared/200 {
			t.Errorf("only %d of %d plans %s: the views are not random enough", did[what], compared, what)
		}
	}
	t.Logf("%d views compared, of which so many plan to: %v", compared, did)
}

func count(did map[string]int, p Plan) {
	for what, is := range map[string]bool{
		"observe": len(p.Observe) > 0, "recheck": len(p.Recheck) > 0, "claim": len(p.Claim) > 0,
		"ask": p.Ask != Peer{}, "hibernate": p.Hibernate,
	} {
		if is {
			did[what]++
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("a hub of hosts that come and go, and partitions that are nobody's"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &game{dice: func(n int) int {
			if len(data) == 0 {
				return 0
			}
			x := int(data[0])
			data = data[1:]
			return x % n
		}}
		g.play(func(v *View, now time.Duration) {
			if err := compare(v, now); err != nil {
				t.Fatalf("%v\n%s", err, g)
			}
		})
	})
}
