package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Cluster is a task hub with its hosts, its bucket and its auditor.
type Cluster struct {
	w       *World
	env     *Host // the world outside: clients, and whoever kills hosts
	plan    *Plan
	bucket  *Bucket
	network *Network
	ref     *Reference
	calls   calls
	slots   []*slot
	// started are the ids whose start was acknowledged, in that order.
	started []string
	seen    map[string]sight // by instance id
	// shares is who served what when that was last looked at, and even whether that was fair.
	shares string
	even   bool
}

// slot is one machine: it runs one host process after another.
type slot struct {
	c    *Cluster
	name string
	life int
	host *Host        // nil while it is down
	hub  *taskhub.Hub // nil until it is open
	disk disk
	skew time.Duration
	// drift is by which share its clocks are too fast.
	drift float64
	// skills are the functions of the machine's function apps; nil: all.
	skills map[work.Function]bool
	exec   *executor // of the present process
	// asked are the moments of the last hour at which a hub that sleeps has asked the
	// bucket for something.
	asked []time.Duration
}

// NewCluster makes the cluster of a plan. No host runs yet.
func NewCluster(w *World, plan *Plan) *Cluster {
	c := &Cluster{w: w, env: w.NewHost("world", 0), plan: plan, bucket: NewBucket(w), seen: map[string]sight{}}
	c.network = NewNetwork(w)
	c.network.FreshAddresses = plan.FreshAddresses
	c.bucket.Expiry = plan.Expiry
	c.bucket.asked = c.askedAsleep
	c.ref = NewReference(w, c.bucket)
	c.calls = calls{w: w, strict: plan.Strict, last: map[work.Task]*begun{}}
	for n := range plan.Hosts {
		s := &slot{c: c, name: fmt.Sprintf("host%d", n), disk: disk{w: w, fails: &plan.DiskFails}}
		if plan.Drift {
			s.drift = 0.02*w.rng.Float64() - 0.01
		}
		if plan.Skew > 0 {
			s.skew = w.upTo(2*plan.Skew) - plan.Skew
		}
		c.slots = append(c.slots, s)
	}
	if plan.Spread {
		c.spread()
	}
	return c
}

// spread gives every machine some of the functions, and every function to some machine.
func (c *Cluster) spread() {
	for _, s := range c.slots {
		s.skills = map[work.Function]bool{}
	}
	for _, f := range functions {
		c.slots[c.w.rng.IntN(len(c.slots))].skills[f] = true
		for _, s := range c.slots {
			if c.w.chance(0.3) {
				s.skills[f] = true
			}
		}
	}
	if c.w.chance(0.3) && len(c.slots) > 1 { // one has no function apps
		for f := range c.slots[0].skills {
			c.slots[1].skills[f] = true
		}
		clear(c.slots[0].skills)
	}
}

// start boots a host process and lets it open the hub.
func (s *slot) start() {
	s.life++
	w, plan := s.c.w, s.c.plan
	h := w.NewHost(fmt.Sprintf("%s.%d", s.name, s.life), s.skew)
	h.drift = s.drift
	s.host, s.hub = h, nil
	w.tracef("%s starts", h.name)
	s.exec = newExecutor(h, s.c, s.skills)
	exec := s.exec
	h.Go(func() {
		for {
			hub, err := taskhub.Open(context.Background(), taskhub.Options{
				Name: "Sim", Store: s.c.bucket.Store(h), Partitions: plan.Partitions,
				Opener: diskOpener{&s.disk}, Exec: exec, Sched: h,
				Log:     hclog.New(&hclog.LoggerOptions{Output: logWriter{h}, Level: hclog.Info, DisableTime: true}),
				Network: func(string, []byte) (transport.Network, error) { return s.c.network.of(h), nil },
				Lease:   plan.Lease, HibernateAfter: plan.HibernateAfter,
				Settings: taskhub.Settings{
					MaxPayload: 1 << 20, MaxCached: plan.MaxCached, CheckpointRecords: plan.CheckpointRecords, Limits: plan.Limits,
				},
			})
			if err == nil {
				s.hub = hub
				return
			}
			w.tracef("%s cannot open the hub: %v", h.name, err)
			_ = h.Sleep(context.Background(), time.Second) // a crash unwinds it
		}
	})
}

// crash ends the process of a slot; call it from an event.
func (s *slot) crash() {
	if s.host == nil {
		return
	}
	h := s.host
	s.host, s.hub = nil, nil
	h.crash()
	s.c.ref.Verify()
}

// stop ends the process in good order, or by a crash when it takes too long. It must
// be called from a coroutine of the world.
func (s *slot) stop(patience time.Duration) {
	h, hub := s.host, s.hub
	if h == nil || hub == nil {
		s.c.inEvent(s.crash)
		return
	}
	s.c.w.tracef("%s is stopped", h.name)
	s.exec.stopping = true
	done := s.c.env.NewSignal()
	h.Go(func() {
		ctx, cancel := h.WithTimeout(context.Background(), patience)
		defer cancel()
		err := hub.Stop(ctx)
		s.c.w.tracef("%s has stopped: %v", h.name, err)
		done.Fire()
	})
	ctx, cancel := s.c.env.WithTimeout(context.Background(), patience+time.Minute)
	_ = done.Wait(ctx)
	cancel()
	if s.host == h {
		s.c.inEvent(s.crash)
	}
}

// inEvent runs f in an event of its own, outside of any coroutine, and waits for it.
func (c *Cluster) inEvent(f func()) {
	done := c.env.NewSignal()
	c.w.at(nil, 0, func() {
		f()
		done.Fire()
	})
	_ = done.Wait(context.Background())
}

// errCrashed is the outcome of a call whose host crashed meanwhile.
var errCrashed = errors.New("the host that was asked has crashed")

// call lets f ask the hub of some host, as a client would over the network. f runs in a
// coroutine of that host; check, if set, runs at the instant of the answer.
func (c *Cluster) call(what string, f func(ctx context.Context, hub *taskhub.Hub) error) error {
	var up []*slot
	for _, s := range c.slots {
		// A frozen host is asked now and then: nobody sees from outside that it is.
		if s.hub != nil && (!s.host.frozen() || c.w.chance(0.05)) {
			up = append(up, s)
		}
	}
	if len(up) == 0 {
		_ = c.env.Sleep(context.Background(), 500*time.Millisecond)
		return fmt.Errorf("%w: no host runs", taskhub.ErrUnavailable)
	}
	s := up[c.w.rng.IntN(len(up))]
	h, hub := s.host, s.hub
	over := c.env.NewSignal()
	var answer error
	answered := false
	h.Go(func() {
		ctx, cancel := h.WithTimeout(context.Background(), time.Second+c.w.upTo(30*time.Second))
		defer cancel()
		answer = f(ctx, hub)
		answered = true
		c.w.tracef("%s answers %s: %v", h.name, what, errText(answer))
		over.Fire()
	})
	crashed := c.env.NewSignal()
	c.env.Go(func() {
		_ = h.died.Wait(context.Background())
		crashed.Fire()
		over.Fire()
	})
	_ = over.Wait(context.Background())
	if !answered {
		return errCrashed
	}
	return answer
}

// unknown reports whether an error leaves open what happened, or was a refusal for now.
func unknown(err error) bool {
	return errors.Is(err, taskhub.ErrUnavailable) || errors.Is(err, taskhub.ErrBusy) || errors.Is(err, errCrashed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
