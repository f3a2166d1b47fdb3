package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// hub is a few views that tell each other heartbeats, and the roots of the partitions, which
// say who is right. There is no bucket that fails and no message that is late: what is left
// to go wrong is what the views believe.
type hub struct {
	t     *testing.T
	dice  func(n int) int
	now   time.Duration
	roots []Root
	hosts []*member
	names int
}

type member struct {
	v    *View
	self Peer
	up   bool
	deaf bool    // nothing gets through to it, nor from it
	told []Owned // by all others, in this round
}

func newHub(t *testing.T, seed uint64) *hub {
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := &hub{t: t, dice: rnd.IntN, now: clock, roots: make([]Root, 1+rnd.IntN(8))}
	for n := range h.roots {
		h.roots[n].Missing = true
	}
	for range 2 + rnd.IntN(3) {
		h.start()
	}
	return h
}

// start adds a host, which meets those that are there and reads all roots.
func (h *hub) start() {
	h.names++
	m := &member{self: peer(fmt.Sprint("h", h.names)), up: true}
	m.v = New(Config{Partitions: len(h.roots), Lease: lease})
	m.v.Join(h.now, m.self, lease)
	for _, other := range h.hosts {
		m.v.Meet(h.now, other.self)
	}
	h.hosts = append(h.hosts, m)
	h.readRoots(m)
}

// again lets the session of a host end, and another one begin at its address.
func (h *hub) again(m *member) {
	h.names++
	m.self.Session = fmt.Sprint("h", h.names)
	m.v.Close(Opening)
	m.v.Join(h.now, m.self, lease)
	m.v.Forget()
	h.readRoots(m)
}

func (h *hub) find(session string) *member {
	for _, m := range h.hosts {
		if m.self.Session == session {
			return m
		}
	}
	return nil
}

// tell lets every host tell all others.
func (h *hub) tell() {
	for _, m := range h.hosts {
		m.told = nil
	}
	for _, from := range h.hosts {
		if !from.up || from.deaf {
			continue
		}
		b, to := from.v.Tell(h.now, false)
		for _, address := range to {
			for _, m := range h.hosts {
				if m.self.Address == address && m.up && !m.deaf {
					m.v.Heartbeat(h.now, 0, b)
					m.told = append(m.told, b.Owned...)
				}
			}
		}
	}
}

// round lets time pass and all hosts tell, plan and do.
func (h *hub) round() {
	h.now += 2 * time.Second
	h.tell()
	claims := make([][]int, len(h.hosts))
	asks := make([]Plan, len(h.hosts))
	for i, m := range h.hosts {
		if !m.up {
			continue
		}
		m.v.Tick(h.now, wall, Activity{Served: make([]Idleness, len(h.roots))})
		p := m.v.Plan(h.now)
		if err := compare(m.v, h.now); err != nil {
			h.t.Fatal(err)
		}
		claims[i], asks[i] = p.Claim, p
		h.observe(m, p)
	}
	h.nobodyIsRobbed(claims)
	for i, m := range h.hosts {
		for _, n := range claims[i] {
			h.claim(m, n)
		}
		h.ask(m, asks[i])
	}
}

// nobodyIsRobbed: what somebody owns, and has just told a host, that host does not claim.
func (h *hub) nobodyIsRobbed(claims [][]int) {
	for i, m := range h.hosts {
		for _, o := range m.told {
			if o.Successor == (Peer{}) && o.Epoch == h.roots[o.Partition].Epoch && slices.Contains(claims[i], o.Partition) {
				h.t.Fatalf("%s is about to claim partition %d, of which it has just been told that it is owned", m.self.Session, o.Partition)
			}
		}
	}
}

// observe reads the sessions and roots that a host wants to have read.
func (h *hub) observe(m *member, p Plan) {
	for _, session := range p.Observe {
		if owner := h.find(session); owner == nil || !owner.up {
			m.v.Ended(h.now, session)
		} else {
			m.v.Observed(h.now, owner.self, "")
		}
	}
	for _, n := range p.Recheck {
		m.v.Rechecking(n)
		h.readRoot(m, n)
	}
}

func (h *hub) readRoots(m *member) {
	for n := range h.roots {
		h.readRoot(m, n)
	}
}

func (h *hub) readRoot(m *member, n int) {
	r := h.roots[n]
	if owner := h.find(r.Owner); owner != nil && owner.up {
		r.Live, r.Address = true, owner.self.Address
	}
	m.v.Root(h.now, n, r)
}

// claim gives a host a partition, unless the root says that somebody else has it.
func (h *hub) claim(m *member, n int) {
	m.v.Claiming(n)
	if owner := h.find(h.roots[n].Owner); owner != nil && owner.up && owner != m {
		m.v.Fenced(n)
		h.readRoot(m, n)
		return
	}
	h.roots[n] = Root{Epoch: h.roots[n].Epoch + 1, Owner: m.self.Session}
	m.v.Serving(n, h.roots[n].Epoch)
}

func (h *hub) ask(m *member, p Plan) {
	from := h.find(p.Ask.Session)
	if from == nil || !from.up || from.deaf || m.deaf {
		return
	}
	if n, ok := from.v.Grant(p.Owned); ok {
		from.v.Moving(n)
		h.roots[n].Owner = ""
		from.v.HandedOver(n, h.roots[n].Epoch, m.self)
	}
}

// happen lets a host start, die, lose its session, or become deaf for a while.
func (h *hub) happen() {
	m := h.hosts[h.dice(len(h.hosts))]
	switch h.dice(9) {
	case 0:
		if len(h.hosts) < 8 {
			h.start()
		}
	case 1:
		m.up = false
	case 2, 3:
		m.deaf = true
	case 4, 5, 6:
		m.deaf = false
	case 7:
		h.again(m)
	case 8:
		for _, other := range h.hosts {
			other.v.Disconnected(h.now, m.self.Address)
		}
	}
}

// Whatever happens: nobody claims what it has heard to be served, and once nothing happens
// any more, every partition is served by one host, and none has two more than another.
func TestHostsAgree(t *testing.T) {
	for seed := range uint64(*views / 200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHub(t, seed)
			for range 50 {
				h.round()
				if h.dice(3) == 0 {
					h.happen()
				}
			}
			h.start() // that there is one, at least
			for _, m := range h.hosts {
				m.deaf = false
			}
			for range 100 {
				h.round()
			}
			h.isEven()
		})
	}
}

func (h *hub) isEven() {
	served, least, most := 0, len(h.roots), 0
	for _, m := range h.hosts {
		if !m.up {
			continue
		}
		mine := 0
		for n := range h.roots {
			if m.v.Mine(n) {
				mine++
				if h.roots[n].Owner != m.self.Session {
					h.t.Errorf("%s serves partition %d, which is %s's", m.self.Session, n, h.roots[n].Owner)
				}
			}
		}
		served, least, most = served+mine, min(least, mine), max(most, mine)
	}
	if served != len(h.roots) || most > least+1 {
		h.t.Errorf("%d of %d partitions are served, between %d and %d by each host", served, len(h.roots), least, most)
	}
}

// Hosts that have told each other everything, and see the same, share the free partitions:
// for as long as they are patient none of them is claimed twice or by nobody.
func TestHostsThatSeeTheSameShareTheFreeOnes(t *testing.T) {
	for seed := range uint64(*views / 10) {
		h := newHub(t, seed)
		for n := range h.roots {
			h.roots[n] = Root{Epoch: uint64(h.dice(3))}
			if i := h.dice(2 * len(h.hosts)); i < len(h.hosts) {
				h.claim(h.hosts[i], n)
			}
		}
		for _, m := range h.hosts {
			h.readRoots(m)
		}
		h.tell() // the first does not know the later ones before they have spoken
		h.now += time.Duration(h.dice(int(claimPatience)))
		h.tell()
		claimed := make([]int, len(h.roots))
		for _, m := range h.hosts {
			for _, n := range m.v.Plan(h.now).Claim {
				claimed[n]++
			}
		}
		for n, times := range claimed {
			if free := h.roots[n].Owner == ""; free && times != 1 || !free && times != 0 {
				t.Fatalf("seed %d: partition %d, free: %t, is claimed by %d of %d hosts", seed, n, free, times, len(h.hosts))
			}
		}
	}
}
