package sim

import (
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/cluster"
)

const (
	// lull is how long after the storm, and after the last freeze, hosts may still come back
	// and owners be given up.
	lull = 4 * time.Minute
	// moveTime is how long a partition may take to change hands in a calm world, and stillFor
	// how many leases nothing may move afterwards.
	moveTime = 30 * time.Second
	stillFor = 3
)

// balance waits until the partitions are spread evenly, and checks that they stay where they
// are then: hosts that agree do not pass them to and fro.
func (c *Cluster) balance() error {
	if len(c.slots) == 1 {
		return nil
	}
	// What the storm has begun, an eviction for one, may still come to its end.
	calm := c.plan.Stormy
	for _, s := range c.slots {
		if s.host != nil {
			calm = max(calm, s.host.frozenUntil)
		}
	}
	if calm > c.w.now+lull {
		return nil // somebody stands still for hours yet
	}
	calm = max(calm+lull, c.w.now) + 2*c.plan.Lease
	if err := c.w.Run(func() bool { return c.w.now >= calm }); err != nil {
		return err
	}
	until := c.w.now + time.Duration(c.plan.Partitions)*(moveTime+c.plan.Lease)
	if err := c.watchShares(until, func(even bool) bool { return even }); err != nil {
		return err
	}
	if c.shares == "" {
		return nil // some of them sleep or stand still
	}
	if !c.even {
		c.w.fail("%v after the faults have stopped, partitions are spread unevenly: %s", c.w.now-c.plan.Stormy, c.shares)
		c.explain()
		return c.w.failure
	}
	was, sessions := c.shares, c.sessions()
	if err := c.watchShares(c.w.now+stillFor*c.plan.Lease, func(bool) bool { return c.shares != was }); err != nil {
		return err
	}
	if c.shares != "" && c.shares != was && c.sessions() == sessions { // else they slept between two looks
		c.w.fail("partitions were spread evenly, and move: %s, and then %s", was, c.shares)
		c.explain()
	}
	return c.w.failure
}

// sessions are those under which the hosts take part now.
func (c *Cluster) sessions() (all string) {
	for _, s := range c.slots {
		if s.hub != nil {
			all += s.hub.Session() + " "
		}
	}
	return all
}

// watchShares lets the world go on until over says so, or until then.
func (c *Cluster) watchShares(until time.Duration, over func(even bool) bool) error {
	next := c.w.now
	return c.w.Run(func() bool {
		if c.w.now < next {
			return false
		}
		next = c.w.now + 500*time.Millisecond
		c.shares, c.even = c.division()
		return c.shares == "" || over(c.even) || c.w.now > until
	})
}

// division says who serves which partition under which epoch, and whether everyone has his
// share. It says nothing where the question is moot: a host sleeps, stands still or is away.
func (c *Cluster) division() (shares string, even bool) {
	most, least, all := 0, len(c.ref.parts), 0
	for _, s := range c.slots {
		if s.hub == nil || s.host.frozen() || s.hub.Dormant() {
			return "", false
		}
		serves := 0
		shares += s.host.name + ":"
		for _, p := range s.hub.Info() {
			if p.State == taskhub.Dormant {
				return "", false // it is about to
			}
			if p.State == cluster.Serving {
				shares += fmt.Sprintf(" %d (epoch %d)", p.Partition, p.Epoch)
				serves++
			}
		}
		shares += "; "
		most, least, all = max(most, serves), min(least, serves), all+serves
	}
	return shares, all == c.plan.Partitions && most-least <= 1
}
