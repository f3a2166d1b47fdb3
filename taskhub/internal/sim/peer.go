package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// peer is the way of one process to an address.
type peer struct {
	from    *end
	address string
	link    *link         // nil, or perhaps broken
	retry   time.Duration // before that no Post tries to connect again
	closed  bool
}

var _ transport.Peer = (*peer)(nil)

// link is one connection of a process to another. A broken one does not come back.
type link struct {
	from, to *end
	address  string
	broken   bool
	unwanted bool    // the process that made it closed it
	calls    []*call // unanswered
	inbox    [][]byte
	last     time.Duration // when the last of inbox arrives
	arrived  int           // how many of inbox are there
	taking   bool
}

func (l *link) between(a, b string) bool {
	return l.from.machine == a && l.to.machine == b || l.from.machine == b && l.to.machine == a
}

func (l *link) dead() bool { return !l.from.host.alive || !l.to.host.alive }

// connect is the present link or a new one; nil if nobody answers at the address, and
// then wait is when that becomes known. Unless it is urgent it does not try again at once.
func (p *peer) connect(urgent bool) (l *link, wait time.Duration) {
	n := p.from.n
	if p.link != nil && !p.link.broken {
		return p.link, 0
	}
	if !urgent && n.w.now < p.retry {
		return nil, 0
	}
	to := n.ends[p.address]
	if to == nil || !to.open() {
		wait = n.latency() + n.latency()
		if n.w.chance(0.2) {
			wait = n.silence() // nobody is there to refuse
		}
		p.retry = n.w.now + wait + 100*time.Millisecond + n.w.upTo(2*time.Second)
		p.from.lost(p.address, wait)
		return nil, wait
	}
	p.link = &link{from: p.from, to: to, address: p.address}
	n.links = append(n.links, p.link)
	if to.host.frozen() || !n.through(p.from, to) || !n.through(to, p.from) {
		n.watch(p.link)
	}
	return p.link, 0
}

// usable reports whether the process may still send; a crashed one does not.
func (p *peer) usable() bool { return !p.closed && p.from.open() }

// Close implements transport.Peer.
func (p *peer) Close() {
	if p.closed {
		return
	}
	p.closed = true
	if p.from.peers[p.address] == p {
		delete(p.from.peers, p.address)
	}
	if p.link != nil && p.from.host.alive {
		p.link.unwanted = true
		p.from.n.sever(p.link, "closed")
	}
}

// Post implements transport.Peer.
func (p *peer) Post(m *transport.Post) {
	if !p.usable() {
		return
	}
	n := p.from.n
	body, err := m.MarshalVT()
	if err != nil {
		n.w.fail("%s posts what cannot be encoded: %v", p.from.host.name, err)
		return
	}
	l, _ := p.connect(false)
	switch {
	case l == nil:
		return
	case !n.through(l.from, l.to), n.w.chance(n.Weather.Lost):
		n.w.tracef("post of %s to %s is lost", l.from.host.name, l.to.host.name)
		return
	}
	l.send(body)
	if n.w.chance(n.Weather.Twice) {
		n.w.at(nil, 10*n.latency(), func() { l.send(body) })
	}
}

// send puts a post on its way. Those of one link arrive in order, whatever their
// latencies, unless the weather swaps them.
func (l *link) send(body []byte) {
	n := l.from.n
	l.last = max(l.last, n.w.now+n.latency())
	at := len(l.inbox)
	if n.w.chance(n.Weather.Swapped) {
		at = n.w.rng.IntN(at + 1)
	}
	l.inbox = slices.Insert(l.inbox, at, body)
	n.w.at(l.to.host, l.last-n.w.now, func() {
		l.arrived++
		if !l.taking && l.to.open() {
			l.taking = true
			l.to.handle(l.take)
		}
	})
}

// take hands what has arrived to the handler, one after another.
func (l *link) take() {
	for l.arrived > 0 && l.to.open() {
		body := l.inbox[0]
		l.inbox = l.inbox[1:]
		l.arrived--
		m := &transport.Post{}
		if err := m.UnmarshalVT(body); err != nil {
			l.to.n.w.fail("post from %s cannot be decoded: %v", l.from.host.name, err)
			return
		}
		l.to.handler.Post(m)
	}
	l.taking = false
}

// call is one call on its way.
type call struct {
	l        *link
	x        *waiter
	answer   *transport.Response
	services []*service
	over     bool // the caller no longer waits, and the other side knows
}

// service is a call as the side that answers it sees it.
type service struct{ cancel context.CancelCauseFunc }

func unreachable(address, why string) error {
	return fmt.Errorf("%w: %s: %s", transport.ErrUnreachable, address, why)
}

// Call implements transport.Peer.
func (p *peer) Call(ctx context.Context, r *transport.Request) (*transport.Response, error) {
	if !p.usable() {
		return nil, unreachable(p.address, "closed")
	}
	w := p.from.n.w
	body, err := r.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", p.address, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l, wait := p.connect(true)
	c := &call{l: l}
	err = w.block(ctx, func(x *waiter) {
		c.x = x
		if l == nil {
			w.at(p.from.host, wait, func() { x.wake(unreachable(p.address, "connection refused")) })
			return
		}
		l.calls = append(l.calls, c)
		c.send(body, remaining(ctx, w))
	})
	if l != nil {
		if k := slices.Index(l.calls, c); k >= 0 {
			l.calls = slices.Delete(l.calls, k, k+1)
			if err != nil {
				c.tell()
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return c.answer, nil
}

// remaining is how long ctx has to live; 0: for ever.
func remaining(ctx context.Context, w *World) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(deadline.Sub(beginning.Add(w.now)), 1)
}

// send puts the request on its way.
func (c *call) send(body []byte, patience time.Duration) {
	n := c.l.from.n
	if !n.through(c.l.from, c.l.to) || n.w.chance(n.Weather.RequestLost) {
		c.lost("request")
		return
	}
	arrive := func() { c.serve(body, patience) }
	n.w.at(c.l.to.host, n.latency(), arrive)
	if n.w.chance(n.Weather.RequestTwice) {
		n.w.tracef("a call of %s to %s comes twice", c.l.from.host.name, c.l.to.host.name)
		n.w.at(c.l.to.host, 10*n.latency(), arrive)
	}
}

// serve lets the other host answer.
func (c *call) serve(body []byte, patience time.Duration) {
	to, n := c.l.to, c.l.to.n
	if !to.open() {
		c.lost("request")
		return
	}
	to.handle(func() {
		r := &transport.Request{}
		if err := r.UnmarshalVT(body); err != nil {
			n.w.fail("call of %s cannot be decoded: %v", c.l.from.host.name, err)
			return
		}
		ctx, cancel := to.host.WithCancel(context.Background())
		if patience > 0 {
			var stop context.CancelFunc
			ctx, stop = to.host.WithTimeout(ctx, patience)
			defer stop()
		}
		s := &service{cancel: cancel}
		to.serving = append(to.serving, s)
		c.services = append(c.services, s)
		if c.over {
			cancel(nil)
		}
		answer := to.handler.Call(ctx, r)
		if answer == nil {
			n.w.fail("%s answers a call with nothing", to.host.name)
			return
		}
		cancel(nil)
		if k := slices.Index(to.serving, s); k >= 0 {
			to.serving = slices.Delete(to.serving, k, k+1)
		}
		c.reply(answer)
	})
}

// reply puts the answer on its way.
func (c *call) reply(answer *transport.Response) {
	l, n := c.l, c.l.from.n
	body, err := answer.MarshalVT()
	if err != nil {
		n.w.fail("%s answers what cannot be encoded: %v", l.to.host.name, err)
		return
	}
	if l.broken || l.dead() {
		return
	}
	if !n.through(l.to, l.from) || n.w.chance(n.Weather.AnswerLost) {
		c.lost("answer")
		return
	}
	n.w.at(l.from.host, n.latency(), func() {
		if l.broken {
			return
		}
		got := &transport.Response{}
		if err := got.UnmarshalVT(body); err != nil {
			n.w.fail("answer of %s cannot be decoded: %v", l.to.host.name, err)
			return
		}
		if c.answer == nil {
			c.answer = got
		}
		c.x.wake(nil)
	})
}

// lost lets the call fail, at once or after a silence.
func (c *call) lost(what string) {
	n := c.l.from.n
	n.w.tracef("%s of a call of %s to %s is lost", what, c.l.from.host.name, c.l.to.host.name)
	n.w.at(c.l.from.host, n.soonOrLate(), func() { c.fail(what + " lost") })
}

func (c *call) fail(why string) { c.x.wake(unreachable(c.l.address, why)) }

// tell lets the other side know that nobody waits any more; where that does not get
// through, only its own deadline ends the call there.
func (c *call) tell() {
	n := c.l.from.n
	if !n.through(c.l.from, c.l.to) {
		return
	}
	n.w.at(c.l.to.host, n.latency(), func() {
		c.over = true
		for _, s := range c.services {
			s.cancel(context.Canceled)
		}
	})
}
