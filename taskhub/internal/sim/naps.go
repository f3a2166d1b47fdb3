package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
)

// naps asks for something at a later time and leaves the hub alone until then: a hub that
// hibernates has to wake for it by itself.
func (c *client) naps(id string) {
	w := c.c.w
	d := w.upTo(c.c.plan.Naps)
	var result string
	if w.chance(0.5) {
		n := w.rng.IntN(4)
		result = expectSum(n)
		c.startsAt("Sum", id, strconv.Itoa(n), beginning.Add(w.now+d))
	} else {
		result = "1"
		c.starts("Timers", id, encode([]int{int(d.Milliseconds())}))
	}
	due, calm := w.now+d, c.c.calm()
	slack := c.c.plan.Lease + 10*time.Second + 5*c.c.plan.Linger
	c.c.sleep(due + slack - w.now)
	if v, _ := c.c.ref.lookup(id); calm && c.c.calm() && (v == nil || !history.IsTerminal(v.Row.Status)) {
		c.doing = "nap of " + d.String()
		c.fail("%s was due %v ago, and the hub has not moved", id, w.now-due)
		c.c.explain()
		return
	}
	c.ends(id, history.Completed, result)
}

// startsAt starts an instance at a later time.
func (c *client) startsAt(name, id, input string, at time.Time) {
	attempts := 0
	err := c.try("start later "+name+" "+id, func(ctx context.Context, hub *taskhub.Hub) error {
		attempts++
		_, err := hub.Start(ctx, taskhub.StartRequest{Name: name, ID: id, Input: &input, StartAt: at})
		return err
	})
	if err != nil && (attempts == 1 || !errors.Is(err, taskhub.ErrInstanceExists)) {
		c.fail("%v", err)
	}
}

// settleTime is how long after the storm hosts may still be finding out who is there.
const settleTime = 5 * time.Minute

// calm reports whether nothing disturbs the cluster, nor has lately.
func (c *Cluster) calm() bool {
	p := c.plan
	if p.Skew > 0 || p.ClockSteps > 0 || p.Drift || p.Misfits || p.Stormy > 0 && c.w.now < p.Stormy+settleTime {
		return false
	}
	return !slices.ContainsFunc(c.slots, func(s *slot) bool {
		return s.hub == nil || c.w.now < s.host.frozenUntil+settleTime && s.host.frozenUntil > 0
	})
}

// mostAsleep is how many requests a host may make in an hour of sleep (E§C12, 24).
const mostAsleep = 7

// askedAsleep counts the requests of hosts whose hub hibernates.
func (c *Cluster) askedAsleep(h *Host) {
	for _, s := range c.slots {
		if s.host != h || s.hub == nil {
			continue
		}
		if !s.hub.Dormant() || !c.calm() {
			s.asked = nil
			return
		}
		s.asked = append(slices.DeleteFunc(s.asked, func(at time.Duration) bool { return c.w.now-at > time.Hour }), c.w.now)
		if len(s.asked) > mostAsleep {
			c.w.fail("%s sleeps and has asked %d times in an hour: %v", h.name, len(s.asked), s.asked)
		}
	}
}

// mayRest reports whether nobody has to serve partition n now: all hosts that run sleep, it
// was released, and nothing in it is due.
func (c *Cluster) mayRest(n int) bool {
	p := c.ref.part(n)
	if p.root == nil || p.root.Owner != "" {
		return false
	}
	for _, s := range c.slots {
		if s.hub != nil && !s.host.frozen() && !s.hub.Dormant() {
			return false
		}
	}
	now := beginning.Add(c.w.now - c.plan.Skew)
	if c.plan.Drift {
		now = now.Add(-c.w.now / 50)
	}
	for e, err := range p.db.Scan([]byte{'t'}, []byte{'t' + 1}) {
		var task core.OpenTask
		if err == nil {
			err = task.UnmarshalVT(e.Value)
		}
		if err != nil {
			c.w.fail("partition %d: %v", n, err)
			return false
		}
		if timer := task.GetTimer(); timer != nil && timer.Due < now.UnixNano() || task.GetActivity() != nil {
			return false
		}
	}
	return !c.ref.moves(p)
}

// moves reports whether an instance has events that it could look at.
func (r *Reference) moves(p *refPartition) bool {
	moves := false
	err := core.Each(p.db, 0, func(v *core.View) (bool, error) {
		lo := binary.BigEndian.AppendUint64([]byte{'q'}, v.Number)
		hi := binary.BigEndian.AppendUint64([]byte{'q'}, v.Number+1)
		for _, err := range p.db.Scan(lo, hi) {
			if err != nil {
				return false, err
			}
			moves = moves || v.Row.Status != history.Suspended && v.Row.StartAt <= beginning.Add(r.w.now).UnixNano()
			break
		}
		return !moves, nil
	})
	if err != nil {
		r.w.fail("partition %d: %v", p.n, err)
	}
	return moves
}
