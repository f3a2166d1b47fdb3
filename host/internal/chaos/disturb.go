package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/faultproxy"
)

// disturber does things to the hosts and their store, one after the other.
type disturber struct {
	fleet *fleet
	rec   *recorder
	rng   *rand.Rand
	lease time.Duration
	kind  string // of the disturbance at work
	// back starts a host, also when the time for disturbances is over: the audit needs it.
	back func(*node) error
}

// kinds of disturbance by name.
var kinds = []struct {
	name string
	do   func(*disturber, context.Context) error
}{
	{"kill", (*disturber).killOne},
	{"kill-two", (*disturber).killTwo},
	{"kill-all", (*disturber).killAll},
	{"freeze", (*disturber).freezeShort},
	{"freeze-long", (*disturber).freezeLong},
	{"freeze-kill", (*disturber).freezeAndKill},
	{"rolling", (*disturber).rolling},
	{"faults-one", (*disturber).faultsOne},
	{"faults-all", (*disturber).faultsAll},
	{"faults-kill", (*disturber).faultsAndKill},
	{"cut-off", (*disturber).cutOff},
	{"store-down", (*disturber).storeDown},
	{"calm", (*disturber).calm},
}

// run deals the kinds of disturbance in rounds, each in an order of its own, until ctx
// ends. Then all hosts run and all faults are off.
func (d *disturber) run(ctx context.Context, only map[string]bool) error {
	for {
		for _, n := range d.rng.Perm(len(kinds)) {
			if len(only) > 0 && !only[kinds[n].name] {
				continue
			}
			if !d.wait(ctx, 500, 3000) {
				return nil
			}
			d.kind = kinds[n].name
			if err := kinds[n].do(d, ctx); err != nil {
				return err
			}
		}
	}
}

// wait lets the hosts alone for a random time in milliseconds; false: the run is over.
func (d *disturber) wait(ctx context.Context, low, high int) bool {
	return pause(ctx, time.Duration(low+d.rng.IntN(high-low))*time.Millisecond)
}

// leases is a random time between low and high times the lease.
func (d *disturber) leases(low, high float64) time.Duration {
	return time.Duration((low + (high-low)*d.rng.Float64()) * float64(d.lease)).Round(10 * time.Millisecond)
}

func (d *disturber) any() *node { return d.fleet.nodes[d.rng.IntN(len(d.fleet.nodes))] }

func (d *disturber) killOne(ctx context.Context) error {
	n := d.any()
	down := time.Duration(d.rng.IntN(2000)) * time.Millisecond
	d.rec.did(d.kind, "SIGKILL host %d, down %v", n.n, down)
	n.kill()
	pause(ctx, down)
	return d.back(n)
}

func (d *disturber) killTwo(ctx context.Context) error {
	perm := d.rng.Perm(len(d.fleet.nodes))
	a, b := d.fleet.nodes[perm[0]], d.fleet.nodes[perm[1%len(perm)]]
	gap, down := time.Duration(d.rng.IntN(1000))*time.Millisecond, d.leases(0, 2)
	d.rec.did(d.kind, "SIGKILL host %d and %v later host %d, down %v", a.n, gap, b.n, down)
	a.kill()
	pause(ctx, gap)
	b.kill()
	pause(ctx, down)
	if err := d.back(a); err != nil {
		return err
	}
	return d.back(b)
}

func (d *disturber) killAll(ctx context.Context) error {
	down := time.Duration(d.rng.IntN(3000)) * time.Millisecond
	d.rec.did(d.kind, "SIGKILL all hosts, down %v", down)
	err := d.fleet.each(func(n *node) error {
		n.kill()
		return nil
	})
	if err != nil {
		return err
	}
	pause(ctx, down)
	return d.fleet.each(d.back)
}

func (d *disturber) freeze(ctx context.Context, low, high float64) {
	n, frozen := d.any(), d.leases(low, high)
	d.rec.did(d.kind, "SIGSTOP host %d for %v", n.n, frozen)
	n.signal(syscall.SIGSTOP)
	pause(ctx, frozen)
	n.signal(syscall.SIGCONT)
}

func (d *disturber) freezeShort(ctx context.Context) error {
	d.freeze(ctx, 0.3, 1)
	return nil
}

func (d *disturber) freezeLong(ctx context.Context) error {
	d.freeze(ctx, 1, 3)
	return nil
}

// freezeAndKill kills another host while one is frozen.
func (d *disturber) freezeAndKill(ctx context.Context) error {
	perm := d.rng.Perm(len(d.fleet.nodes))
	a, b := d.fleet.nodes[perm[0]], d.fleet.nodes[perm[1%len(perm)]]
	frozen := d.leases(0.5, 2)
	d.rec.did(d.kind, "SIGSTOP host %d for %v, SIGKILL host %d meanwhile", a.n, frozen, b.n)
	a.signal(syscall.SIGSTOP)
	pause(ctx, frozen/2)
	b.kill()
	pause(ctx, frozen/2)
	a.signal(syscall.SIGCONT)
	return d.back(b)
}

// rolling restarts the hosts one after the other, as an upgrade does.
func (d *disturber) rolling(ctx context.Context) error {
	d.rec.did(d.kind, "rolling restart by SIGTERM")
	for _, i := range d.rng.Perm(len(d.fleet.nodes)) {
		n := d.fleet.nodes[i]
		began := time.Now()
		if err := n.stop(); err != nil {
			d.rec.problem("bad stop", "%v", err)
		}
		d.rec.sayf("host %d stopped in %.1f s", n.n, time.Since(began).Seconds())
		if err := d.back(n); err != nil {
			return err
		}
		d.wait(ctx, 500, 1500)
	}
	return nil
}

// someFaults are faults of every kind, at a random rate. The longest delays are beyond
// what a host waits for one attempt, so that writes land after it has tried again.
func (d *disturber) someFaults() faultproxy.Faults {
	total := 0.1 + 0.5*d.rng.Float64()
	var weights [5]float64
	sum := 0.0
	for i := range weights {
		weights[i] = d.rng.Float64()
		sum += weights[i]
	}
	share := func(i int) float64 { return total * weights[i] / sum }
	longest := []time.Duration{200 * time.Millisecond, time.Second, 8 * time.Second}
	return faultproxy.Faults{
		CutBefore: share(0), CutAfter: share(1), Refused: share(2), RefusedFor: share(3), Delayed: share(4),
		MinDelay: 20 * time.Millisecond, MaxDelay: longest[d.rng.IntN(len(longest))],
	}
}

func (d *disturber) say(who string, f faultproxy.Faults, long time.Duration) {
	d.rec.did(d.kind, "faults before the store for %s: cut before %.0f %%, after %.0f %%, 503 before %.0f %%, after %.0f %%, delay %.0f %% up to %v; for %v",
		who, 100*f.CutBefore, 100*f.CutAfter, 100*f.Refused, 100*f.RefusedFor, 100*f.Delayed, f.MaxDelay, long)
}

func (d *disturber) faultsOne(ctx context.Context) error {
	n, f, long := d.any(), d.someFaults(), d.leases(0.7, 3)
	d.say("host "+string(rune('0'+n.n)), f, long)
	n.proxy.Set(f)
	pause(ctx, long)
	n.proxy.Set(faultproxy.Faults{})
	return nil
}

func (d *disturber) faultsAll(ctx context.Context) error {
	f, long := d.someFaults(), d.leases(0.7, 3)
	d.say("all hosts", f, long)
	d.fleet.faults(f)
	pause(ctx, long)
	d.fleet.faults(faultproxy.Faults{})
	return nil
}

// faultsAndKill kills and starts a host while the store misbehaves.
func (d *disturber) faultsAndKill(ctx context.Context) error {
	n, f, long := d.any(), d.someFaults(), d.leases(1, 2)
	d.say("all hosts", f, long)
	d.fleet.faults(f)
	pause(ctx, long/2)
	d.rec.did("", "SIGKILL host %d", n.n)
	n.kill()
	pause(ctx, long/2)
	over := time.AfterFunc(long, func() { d.fleet.faults(faultproxy.Faults{}) }) // it starts under them
	defer over.Stop()
	err := d.back(n)
	d.fleet.faults(faultproxy.Faults{})
	return err
}

// cutOff keeps one host from the store.
func (d *disturber) cutOff(ctx context.Context) error {
	n, long := d.any(), d.leases(0.5, 3)
	d.rec.did(d.kind, "host %d is cut off from the store for %v", n.n, long)
	n.proxy.Set(faultproxy.Faults{BlackHole: true})
	pause(ctx, long)
	n.proxy.Set(faultproxy.Faults{})
	return nil
}

// storeDown keeps all hosts from the store.
func (d *disturber) storeDown(ctx context.Context) error {
	long := d.leases(0.5, 2)
	d.rec.did(d.kind, "all hosts are cut off from the store for %v", long)
	d.fleet.faults(faultproxy.Faults{BlackHole: true})
	pause(ctx, long)
	d.fleet.faults(faultproxy.Faults{})
	return nil
}

func (d *disturber) calm(ctx context.Context) error {
	long := d.leases(1, 3)
	d.rec.did(d.kind, "all is well for %v", long)
	pause(ctx, long)
	return nil
}
