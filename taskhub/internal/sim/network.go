package sim

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// NetWeather is how the network between hosts behaves; the zero NetWeather is a calm
// one. Cuts come on top of it.
type NetWeather struct {
	// Lost, Twice and Swapped are shares of posts: never arrive, arrive again a little
	// later, overtake others.
	Lost, Twice, Swapped float64
	// RequestLost, RequestTwice and AnswerLost are shares of calls.
	RequestLost, RequestTwice, AnswerLost float64
	// Slow stretches every latency.
	Slow float64
	// Even: no latency is out of the ordinary.
	Even bool
}

// Network joins the hosts of a world. Hosts are on machines, which cuts are between; an
// address leads to the process that runs there at the moment.
type Network struct {
	Weather NetWeather
	// FreshAddresses gives every process an address of its own. Otherwise a machine
	// keeps its address, and a new process answers at that of the old one.
	FreshAddresses bool

	w     *World
	env   *Host
	ends  map[string]*end // by address; never ranged over
	links []*link         // those that are not broken
	cuts  []*cut
}

// cut is one direction between two machines in which nothing gets through.
type cut struct{ from, to string }

// NewNetwork makes a network without hosts.
func NewNetwork(w *World) *Network {
	return &Network{w: w, env: w.NewHost("network", 0), ends: map[string]*end{}}
}

// of is the network as a host process sees it; the same until that is closed.
func (n *Network) of(h *Host) transport.Network {
	machine := h.name
	if dot := strings.LastIndexByte(machine, '.'); dot > 0 {
		machine = machine[:dot]
	}
	address := machine
	if n.FreshAddresses {
		address = h.name
	}
	if e := n.ends[address]; e != nil && e.host == h && !e.closed {
		return e
	}
	e := &end{n: n, host: h, machine: machine, address: address, peers: map[string]*peer{}}
	n.ends[address] = e
	n.env.Go(func() {
		_ = h.died.Wait(context.Background()) // of the world, it ends with it
		n.crashed(h)
	})
	return e
}

// latency draws one way between hosts: a fraction of a millisecond, with a heavy tail.
func (n *Network) latency() time.Duration {
	ms := 0.2 * math.Exp(0.7*n.w.rng.NormFloat64())
	switch draw := n.w.rng.Float64(); {
	case n.Weather.Even:
	case draw < 0.001:
		ms *= 2000
	case draw < 0.01:
		ms *= 30
	}
	return time.Duration(ms * (1 + n.Weather.Slow) * float64(time.Millisecond))
}

// silence draws how long it takes until a host that says nothing is given up.
func (n *Network) silence() time.Duration { return 2*time.Second + n.w.upTo(6*time.Second) }

// soonOrLate draws when a caller learns that its call is lost: at once, when the
// connection was reset, or after a silence.
func (n *Network) soonOrLate() time.Duration {
	if n.w.chance(0.5) {
		return n.latency()
	}
	return n.silence()
}

// cut lets nothing get from one machine to another for d.
func (n *Network) cut(from, to string, d time.Duration) {
	n.w.tracef("%s no longer reaches %s", from, to)
	c := &cut{from, to}
	n.cuts = append(n.cuts, c)
	for _, l := range n.links {
		if l.between(from, to) {
			n.watch(l)
		}
	}
	n.w.at(nil, d, func() {
		if k := slices.Index(n.cuts, c); k >= 0 {
			n.cuts = slices.Delete(n.cuts, k, k+1)
			n.w.tracef("%s reaches %s again", from, to)
		}
	})
}

// heal ends the bad weather and all cuts.
func (n *Network) heal() { n.Weather, n.cuts = NetWeather{Even: n.Weather.Even}, nil }

// through reports whether something gets from one process to another now.
func (n *Network) through(from, to *end) bool {
	return !slices.ContainsFunc(n.cuts, func(c *cut) bool { return c.from == from.machine && c.to == to.machine })
}

// watch is the keepalive of a link that is in trouble: it gives up if that lasts.
func (n *Network) watch(l *link) {
	n.w.at(nil, n.silence(), func() {
		if l.dead() || l.to.host.frozen() || !n.through(l.from, l.to) || !n.through(l.to, l.from) {
			n.sever(l, "silence")
		}
	})
}

// froze is told that a host has begun to stand still: its peers notice by their
// keepalives if it lasts, and so does it afterwards.
func (n *Network) froze(h *Host) {
	for _, l := range n.links {
		if l.from.host == h || l.to.host == h {
			n.w.at(nil, n.silence(), func() {
				if h.frozen() {
					n.sever(l, "silence")
				}
			})
		}
	}
}

// crashed is told that a host has died: its machine resets its connections, and those
// whom that does not reach notice by their keepalives.
func (n *Network) crashed(h *Host) {
	for _, l := range n.links {
		if l.from.host != h && l.to.host != h {
			continue
		}
		if n.through(l.from, l.to) && n.through(l.to, l.from) {
			n.w.at(nil, n.latency(), func() { n.sever(l, "reset") })
		} else {
			n.watch(l)
		}
	}
}

// sever breaks a link: the calls on it have failed, and both sides learn of it.
func (n *Network) sever(l *link, why string) {
	k := slices.Index(n.links, l)
	if k < 0 {
		return
	}
	n.links = slices.Delete(n.links, k, k+1)
	l.broken = true
	n.w.tracef("connection of %s to %s breaks: %s", l.from.host.name, l.to.host.name, why)
	for _, c := range l.calls {
		n.w.at(l.from.host, 0, func() { c.fail(why) })
		c.tell()
	}
	l.calls = nil
	if !l.unwanted {
		l.from.lost(l.address, 0)
	}
}

// end is the network as one host process sees it.
type end struct {
	n                *Network
	host             *Host
	machine, address string
	handler          transport.Handler
	peers            map[string]*peer // never ranged over
	serving          []*service
	busy             int // calls of the handler that run
	idle             sched.Signal
	closed           bool
}

var _ transport.Network = (*end)(nil)

// Address implements transport.Network.
func (e *end) Address() string { return e.address }

// Serve implements transport.Network.
func (e *end) Serve(h transport.Handler) { e.handler = h }

// Peer implements transport.Network.
func (e *end) Peer(address string) transport.Peer {
	p := e.peers[address]
	if p == nil {
		p = &peer{from: e, address: address}
		e.peers[address] = p
	}
	return p
}

// Close implements transport.Network.
func (e *end) Close() {
	if !e.closed && e.host.alive {
		e.closed = true
		for _, l := range slices.Clone(e.n.links) {
			if l.from == e || l.to == e {
				e.n.sever(l, "closed")
			}
		}
		for _, s := range slices.Clone(e.serving) {
			s.cancel(transport.ErrUnreachable)
		}
	}
	for e.busy > 0 {
		if e.idle == nil {
			e.idle = e.host.NewSignal()
		}
		_ = e.idle.Wait(context.Background()) // the handler ends: its contexts have
	}
}

// open reports whether the process can be spoken to.
func (e *end) open() bool { return !e.closed && e.host.alive && e.handler != nil }

// lost tells the handler, after d, that an address is not reached.
func (e *end) lost(address string, d time.Duration) {
	e.n.w.at(e.host, d, func() {
		if e.open() {
			e.handle(func() { e.handler.Disconnected(address) })
		}
	})
}

// handle runs a call of the handler in a coroutine of the host. It must be called from
// an event.
func (e *end) handle(f func()) {
	e.busy++
	e.host.spawn(func() {
		defer func() {
			if e.busy--; e.busy == 0 && e.idle != nil {
				e.idle.Fire()
				e.idle = nil
			}
		}()
		f()
	})
}
