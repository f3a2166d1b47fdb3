package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/storage/metered"
)

// result is one repetition of one workload: its figures by name, and what it cost.
type result struct {
	Workload string             `json:"workload"`
	Store    string             `json:"store"`
	Rep      int                `json:"rep"`
	N        int                `json:"n"`
	Clients  int                `json:"clients,omitempty"`
	Figures  map[string]float64 `json:"figures"`
	Usage    usage              `json:"usage"`
}

// bench runs workloads in one environment.
type bench struct {
	*environment
	ids int
}

// newID names instances so that a repetition never meets those of another.
func (b *bench) newIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		b.ids++
		ids[i] = "bench-" + strconv.Itoa(b.ids)
	}
	return ids
}

func (b *bench) start(ctx context.Context, name, id string, input string) error {
	_, err := b.hub().Start(ctx, taskhub.StartRequest{Name: name, ID: id, Input: &input})
	return err
}

// wait fails when the instance did: a fast failure is no result.
func (b *bench) wait(ctx context.Context, id string) error {
	inst, err := b.hub().Wait(ctx, id, taskhub.GetOptions{Payloads: true})
	if err == nil && inst.Status != history.Completed {
		err = fmt.Errorf("instance %s is %s: %s", id, history.StatusName(inst.Status), inst.Failure.GetErrorMessage())
	}
	return err
}

// one runs an instance from its start to its end as a client sees it.
func (b *bench) one(ctx context.Context, name, id, input string) (time.Duration, error) {
	begun := time.Now()
	if err := b.start(ctx, name, id, input); err != nil {
		return 0, err
	}
	err := b.wait(ctx, id)
	return time.Since(begun), err
}

// sequential is W1a: one hello at a time.
func (b *bench) sequential(ctx context.Context, n int) (map[string]float64, usage, error) {
	return b.closedLoop(ctx, n, 1)
}

// closedLoop runs n hellos from clients that each start one and wait for it.
func (b *bench) closedLoop(ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	ids, took := b.newIDs(n), make([]float64, n)
	m := b.begin()
	err := each(n, clients, func(i int) error {
		d, err := b.one(ctx, "Hello", ids[i], "0")
		took[i] = d.Seconds() * 1000
		return err
	})
	u := m.end()
	return map[string]float64{
		"per_s": float64(n) / u.Wall, "p50_ms": percentile(took, 0.50), "p95_ms": percentile(took, 0.95),
	}, u, err
}

// open is W1b as the peers ran it: all are started as fast as possible, then waited for.
func (b *bench) open(ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	ids := b.newIDs(n)
	m := b.begin()
	err := each(n, clients, func(i int) error { return b.start(ctx, "Hello", ids[i], "0") })
	started := time.Since(m.start)
	if err == nil {
		err = each(n, clients, func(i int) error { return b.wait(ctx, ids[i]) })
	}
	u := m.end()
	return map[string]float64{"per_s": float64(n) / u.Wall, "started_s": started.Seconds()}, u, err
}

// single runs one instance with n as its input (W2, W3).
func (b *bench) single(ctx context.Context, name string, n int) (map[string]float64, usage, error) {
	id := b.newIDs(1)[0]
	m := b.begin()
	took, err := b.one(ctx, name, id, strconv.Itoa(n))
	return map[string]float64{"total_s": took.Seconds()}, m.end(), err
}

// long is W5: single, with the cost of a step at the beginning and at the end, from
// the timestamps of the history.
func (b *bench) long(ctx context.Context, n int) (map[string]float64, usage, error) {
	id := b.newIDs(1)[0]
	m := b.begin()
	took, err := b.one(ctx, "Long", id, strconv.Itoa(n))
	u := m.end()
	if err != nil {
		return nil, u, err
	}
	events, err := b.hub().History(ctx, id)
	if err != nil {
		return nil, u, err
	}
	var steps []time.Time
	for _, e := range events {
		if e.GetTaskCompleted() != nil {
			steps = append(steps, e.GetTimestamp().AsTime())
		}
	}
	first, last := tenths(steps)
	return map[string]float64{"total_s": took.Seconds(), "first_ms": first, "last_ms": last, "last_to_first": last / first}, u, nil
}

// waiting is W4: n instances block on an event; then it is raised to all.
func (b *bench) waiting(ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	ids := b.newIDs(n)
	if err := b.collect(ctx); err != nil {
		return nil, usage{}, err
	}
	hostBefore, _ := memory(os.Getpid())
	appBefore, _ := memory(b.appPID())
	m := b.begin()
	err := each(n, clients, func(i int) error { return b.start(ctx, "Event", ids[i], "0") })
	started := time.Since(m.start)
	if err == nil {
		err = b.awaitRunning(ctx, ids)
	}
	blocked := time.Since(m.start)
	if err != nil {
		return nil, m.end(), err
	}
	_, hostRSS := memory(os.Getpid())
	_, appRSS := memory(b.appPID())
	if err := b.collect(ctx); err != nil {
		return nil, m.end(), err
	}
	hostAfter, _ := memory(os.Getpid())
	appAfter, _ := memory(b.appPID())
	idle, before := time.Second, cpuSelf()+cpuOf(b.appPID())
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return nil, m.end(), ctx.Err()
	}
	idleCPU := cpuSelf() + cpuOf(b.appPID()) - before

	raised, data := time.Now(), "1"
	err = each(n, clients, func(i int) error { return b.hub().RaiseEvent(ctx, ids[i], "Go", &data) })
	if err == nil {
		err = each(n, clients, func(i int) error { return b.wait(ctx, ids[i]) })
	}
	per := func(before, after int64) float64 { return float64(after-before) / 1024 / float64(n) }
	return map[string]float64{
		"started_s": started.Seconds(), "blocked_s": blocked.Seconds(), "completed_s": time.Since(raised).Seconds(),
		"host_kb": per(hostBefore, hostAfter), "app_kb": per(appBefore, appAfter), "kb": per(hostBefore+appBefore, hostAfter+appAfter),
		"host_rss_mb": float64(hostRSS) / (1 << 20), "app_rss_mb": float64(appRSS) / (1 << 20),
		"idle_cpu_pct": idleCPU.Seconds() / idle.Seconds() * 100,
	}, m.end(), err
}

// recovery is how long it takes to serve n live instances again, which wait for an event,
// after their host has been killed: from when the lease of the dead host is over until
// all partitions serve.
func (b *bench) recovery(ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	ids := b.newIDs(n)
	err := each(n, clients, func(i int) error { return b.start(ctx, "Event", ids[i], "0") })
	if err == nil {
		err = b.awaitRunning(ctx, ids)
	}
	if err != nil {
		return nil, usage{}, err
	}
	b.crash()
	if err := b.restart(ctx); err != nil {
		return nil, usage{}, err
	}
	m := b.begin()
	m.requests = metered.Counts{} // also those before
	waited, err := b.awaitServing(ctx)
	if err != nil {
		return nil, m.end(), err
	}
	m.start = waited
	u := m.end()
	data, last := "1", ids[n-1]
	if err = b.hub().RaiseEvent(ctx, last, "Go", &data); err == nil {
		err = b.wait(ctx, last) // they are live
	}
	return map[string]float64{"serving_s": u.Wall, "instances": float64(n)}, u, err
}

// awaitServing returns when this host serves all partitions, and since when it did not
// wait for their owner any more.
func (b *bench) awaitServing(ctx context.Context) (waited time.Time, err error) {
	waited = time.Now()
	for {
		serving := 0
		for _, p := range b.hub().Info() {
			switch p.State {
			case taskhub.Serving:
				serving++
			case taskhub.Waiting:
				waited = time.Now()
			}
		}
		if serving == b.hub().Partitions() {
			return waited, nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return waited, ctx.Err()
		}
	}
}

// awaitRunning returns when the first episode of each instance is committed: they
// are blocked then. The hub tells nobody, so it is asked.
func (b *bench) awaitRunning(ctx context.Context, ids []string) error {
	for _, id := range ids {
		for {
			inst, err := b.hub().Get(ctx, id, taskhub.GetOptions{})
			if err != nil {
				return err
			}
			if inst.Status == history.Running {
				break
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// collect leaves only what is live in the memory of host and app.
func (b *bench) collect(ctx context.Context) error {
	_, err := b.one(ctx, "Collect", b.newIDs(1)[0], "0")
	debug.FreeOSMemory()
	return err
}
