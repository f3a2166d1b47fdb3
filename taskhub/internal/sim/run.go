package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
)

// Result is how a seed ended.
type Result struct {
	Seed    uint64
	Err     error // nil: every invariant held
	Hash    uint64
	Events  uint64
	Virtual time.Duration
	Records int
	Trace   string // its last lines
}

// patience is how long, in virtual time, everything may take once faults have stopped.
const patience = 3 * time.Hour

// Run plays a seed. print, if not nil, gets every line of the trace.
func Run(seed uint64, draw func(*rand.Rand) *Plan, print func(line string)) Result {
	w := NewWorld(seed, 200)
	w.trace.print = print
	defer w.Close()
	plan := draw(w.rng)
	w.tracef("seed %d: %+v", seed, *plan)
	c := NewCluster(w, plan)
	err := c.play()
	r := Result{Seed: seed, Err: err, Hash: w.Hash(), Events: w.steps, Virtual: w.now, Trace: w.Last()}
	for _, p := range c.ref.parts {
		r.Records += p.records
	}
	return r
}

// play lets the plan happen and audits the end.
func (c *Cluster) play() error {
	for _, s := range c.slots {
		c.w.at(nil, c.w.upTo(max(c.plan.Joins, 2*time.Second)), func() {
			if s.host == nil {
				s.start()
			}
		})
	}
	c.trouble()
	c.w.at(nil, c.plan.Stormy, c.heal)
	clients := make([]*client, c.plan.Clients)
	for n := range clients {
		clients[n] = &client{c: c, n: n}
		c.env.Go(func() { clients[n].play(c.plan.Rounds, c.plan.Pause) })
	}
	deadline := c.plan.Stormy + time.Duration(c.plan.Rounds)*(c.plan.Pause+c.plan.Naps) + patience
	// Everyone comes to an end once the faults have stopped.
	if err := c.w.Run(func() bool {
		if c.w.now > deadline {
			return true
		}
		for _, cl := range clients {
			if !cl.done {
				return false
			}
		}
		return c.w.now > c.plan.Stormy
	}); err != nil {
		return err
	}
	for _, cl := range clients {
		if !cl.done {
			c.w.fail("client %d is still at %q, %v after the faults have stopped", cl.n, cl.doing, c.w.now-c.plan.Stormy)
			c.explain()
			return c.w.failure
		}
	}
	if err := c.drain(); err != nil {
		return err
	}
	if err := c.balance(); err != nil {
		return err
	}
	return c.audit()
}

// drain waits until every message is taken in and every partition is served.
func (c *Cluster) drain() error {
	until := c.w.now + patience
	next := c.w.now
	quiet := false
	if err := c.w.Run(func() bool {
		if c.w.now >= next {
			next = c.w.now + time.Second
			quiet = c.served() && c.ref.drained()
		}
		return quiet || c.w.now > until
	}); err != nil {
		return err
	}
	if !quiet {
		c.w.fail("%v after the faults have stopped, messages are on their way or a partition is not served", patience)
		c.explain()
	}
	return c.w.failure
}

// served reports whether every partition is served, or sleeps with good reason.
func (c *Cluster) served() bool {
	served := map[int]bool{}
	for _, s := range c.slots {
		if s.hub == nil || s.host.frozen() {
			continue
		}
		for _, p := range s.hub.Info() {
			if p.State == cluster.Serving {
				served[p.Partition] = true
			}
		}
	}
	for n := range len(c.ref.parts) {
		if !served[n] && !c.mayRest(n) {
			return false
		}
	}
	return true
}

// explain puts into the trace what the hosts and the log say at the end.
func (c *Cluster) explain() {
	for _, s := range c.slots {
		switch {
		case s.host == nil:
			c.w.tracef("%s is down", s.name)
		case s.hub == nil:
			c.w.tracef("%s has not opened the hub", s.host.name)
		default:
			c.w.tracef("%s: frozen %v, %+v", s.host.name, s.host.frozen(), s.hub.Info())
		}
	}
	for n := range len(c.ref.parts) {
		p := c.ref.part(n)
		c.w.tracef("partition %d: %d records, sent %v, received %v", n, p.db.Position().Seq, p.sent, p.received)
	}
}

// drained reports whether every message that was sent has been taken in.
func (r *Reference) drained() bool {
	for src := range len(r.parts) {
		for dst, sent := range r.part(src).sent {
			if d := r.part(dst); sent > 0 && (src >= len(d.received) || d.received[src] < sent) {
				return false
			}
		}
	}
	return true
}

// audit looks at what is in the bucket at the very end.
func (c *Cluster) audit() error {
	c.ref.Verify()
	for n := range len(c.ref.parts) {
		if err := c.ref.part(n).auditInstances(); err != nil {
			c.w.fail("partition %d: %v", n, err)
		}
	}
	return c.w.failure
}

// String is one line about the run.
func (r Result) String() string {
	return fmt.Sprintf("seed %d: %d events, %v virtual, %d records, hash %016x, %v", r.Seed, r.Events, r.Virtual.Round(time.Second), r.Records, r.Hash, r.Err)
}
