package sim

import (
	"context"
	"math"
	"time"
)

// trouble lets things go wrong until the plan's storm is over.
func (c *Cluster) trouble() {
	p := c.plan
	c.bucket.Weather, c.network.Weather = p.Weather, p.Net
	c.every(p.Crashes, func() {
		s := c.anySlot()
		c.inEvent(s.crash)
		c.restart(s)
	})
	c.every(p.Stops, func() {
		s := c.anySlot()
		s.stop(c.w.upTo(20 * time.Second))
		c.restart(s)
	})
	c.every(p.Freezes, func() {
		if s := c.anySlot(); s.host != nil {
			c.freeze(s.host)
		}
	})
	c.bucket.trap = func(h *Host) {
		for _, s := range c.slots {
			if s.host != nil && s.host.frozen() {
				return // somebody has to take over meanwhile
			}
		}
		c.freeze(h)
	}
	c.every(p.Outages, func() {
		c.w.tracef("the bucket is down")
		c.bucket.Weather.Down = true
		c.sleep(c.w.upTo(2 * time.Minute))
		c.bucket.Weather.Down = false
		c.w.tracef("the bucket is back")
	})
	c.every(p.Throttles, func() {
		c.w.tracef("the bucket throttles")
		c.bucket.Weather.Throttled = true
		c.sleep(c.w.upTo(time.Minute))
		c.bucket.Weather.Throttled = false
	})
	c.every(p.Denials, func() {
		c.bucket.Weather.NoWrites, c.bucket.Weather.NoReads = true, c.w.chance(0.5)
		c.w.tracef("permission is taken away, to read too: %v", c.bucket.Weather.NoReads)
		c.sleep(c.w.upTo(2 * time.Minute))
		c.bucket.Weather.NoWrites, c.bucket.Weather.NoReads = false, false
		c.w.tracef("permission is given back")
	})
	c.every(p.FullDisks, func() {
		s := c.anySlot()
		c.w.tracef("the disk of %s is full", s.name)
		s.disk.full = true
		c.sleep(c.w.upTo(time.Minute))
		s.disk.full = false
	})
	c.every(p.Rots, c.bucket.rot)
	if p.Misfits {
		c.putBack()
	}
	c.every(p.Cuts, func() {
		if len(c.slots) > 1 {
			c.cutNetwork()
		}
	})
	c.every(p.ClockSteps, func() {
		s := c.anySlot()
		if s.host != nil {
			step := c.w.upTo(20*time.Second) - 10*time.Second
			if c.plan.Leaps && c.w.chance(0.3) {
				// Somebody sets it, or the firmware's clock was in local time.
				step = c.w.upTo(2*time.Hour) - time.Hour - s.host.wall
			}
			c.w.tracef("the clock of %s steps by %v", s.host.name, step)
			s.host.wall += step
		}
	})
}

// putBack puts the right code back now and then, for good after the storm: what was held
// since its code did not fit goes on.
func (c *Cluster) putBack() {
	c.env.Go(func() {
		for {
			c.sleep(c.w.upTo(4 * time.Minute))
			for _, s := range c.slots {
				if h, hub := s.host, s.hub; hub != nil && !h.frozen() {
					h.Go(hub.Reconsider)
				}
			}
		}
	})
}

// cutNetwork separates two machines, or one from all others, for a while. All of them
// go on seeing the bucket.
func (c *Cluster) cutNetwork() {
	w := c.w
	d := time.Duration(math.Pow(w.rng.Float64(), 2) * float64(4*c.plan.Lease+time.Minute))
	one := w.rng.IntN(len(c.slots))
	other := (one + 1 + w.rng.IntN(len(c.slots)-1)) % len(c.slots)
	alone := w.chance(0.3)
	there, back := true, true
	if c.plan.OneWay && w.chance(0.5) {
		there = w.chance(0.5)
		back = !there
	}
	for n, s := range c.slots {
		if n == one || n != other && !alone {
			continue
		}
		if there {
			c.network.cut(c.slots[one].name, s.name, d)
		}
		if back {
			c.network.cut(s.name, c.slots[one].name, d)
		}
	}
}

// freeze freezes a host for a while.
func (c *Cluster) freeze(h *Host) {
	longest := 4 * c.plan.Lease
	if c.plan.LongFreezes {
		longest = 2 * time.Hour
	}
	if h.alive && !h.frozen() && c.w.now < c.plan.Stormy {
		h.freeze(time.Duration(math.Pow(c.w.rng.Float64(), 2)*float64(longest)), c.plan.StopMono && c.w.chance(0.3))
		c.network.froze(h)
	}
}

// every runs f again and again, until the storm is over, in the world's own coroutine.
func (c *Cluster) every(mean time.Duration, f func()) {
	if mean == 0 {
		return
	}
	c.env.Go(func() {
		for {
			c.sleep(time.Duration(c.w.rng.ExpFloat64() * float64(mean)))
			if c.w.now >= c.plan.Stormy {
				return
			}
			f()
		}
	})
}

func (c *Cluster) sleep(d time.Duration) { _ = c.env.Sleep(context.Background(), d) }

func (c *Cluster) anySlot() *slot { return c.slots[c.w.rng.IntN(len(c.slots))] }

// restart boots a slot again after a while.
func (c *Cluster) restart(s *slot) {
	down := c.w.upTo(5 * time.Second)
	if c.w.chance(0.2) {
		down = c.w.upTo(2 * time.Minute)
	}
	life := s.life
	c.w.at(nil, down, func() {
		if s.host == nil && s.life == life {
			s.start()
		}
	})
}

// heal ends the storm: bucket and network work, and every host runs.
func (c *Cluster) heal() {
	c.w.tracef("the storm is over")
	c.bucket.Weather = Weather{}
	c.network.heal()
	c.plan.Mischief, c.plan.DiskFails = Mischief{}, 0
	for _, s := range c.slots {
		s.disk.full = false
		if s.host == nil {
			s.start()
		}
	}
}
