package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// instance is what clients know of an instance, and what the audit asks of it.
type instance struct {
	ID, Name string
	// want is the output, as JSON; empty when it depends on what was acknowledged.
	want string
	// tasks is how many outcomes of activities its history holds; -1: not said.
	tasks int
	// children is how many sub-orchestrations it starts, directly or not, by their ids.
	children map[string]string // id to output as JSON; "": it fails

	mu       sync.Mutex
	acked    bool                // its start was acknowledged
	again    bool                // it may have been started more than once
	messages map[string]*message // of a counter, by id
	killed   bool                // a terminate was sent
	terminal string              // status and output when a client first saw that it had ended
}

// message is one message to a counter.
type message struct {
	acked bool
	most  int // how often it may be there
}

// seen compares what a client sees with what one saw when the instance had ended.
func (i *instance) seen(rec *recorder, s *api.Instance) {
	if !s.Status.Terminal() {
		return
	}
	now := string(s.Status) + " " + string(s.Output)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.terminal == "" {
		i.terminal = now
	}
	if i.terminal != now && !i.again {
		rec.problem("taken back", "%s had ended as %s, and is now %s", i.ID, i.terminal, now)
	}
}

func (i *instance) expectMessage(id string, acked bool, most int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.messages[id] = &message{acked: acked, most: most}
}

// must is the ids of all messages that were acknowledged.
func (i *instance) must() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	ids := []string{}
	for _, id := range slices.Sorted(maps.Keys(i.messages)) {
		if i.messages[id].acked {
			ids = append(ids, id)
		}
	}
	return ids
}

// patience is how long an instance may take that needs a second on a quiet hub.
const patience = 5 * time.Minute

// await looks at an instance until it has ended.
func (c *client) await(ctx context.Context, i *instance) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := "never seen"
	for {
		if s := c.read(ctx, i.ID); s != nil {
			last = string(s.Status) + " " + clip(s.CustomStatus)
			i.seen(c.rec, s)
			if s.Status.Terminal() {
				return
			}
		}
		if !pause(ctx, c.between(100, 400)) {
			c.rec.problem("stuck", "%s %s has not ended after %v: %s", i.Name, i.ID, patience, last)
			return
		}
	}
}

// work plays scenarios until stop is closed, and ends the last one.
func (c *client) work(ctx context.Context, stop <-chan struct{}) {
	scenarios := []func(context.Context, string){c.sum, c.chain, c.tree, c.counter, c.counter, c.gate, c.gate}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
			scenarios[c.rng.IntN(len(scenarios))](ctx, fmt.Sprintf("c%02d-%04d", c.n, n))
		}
		if !pause(ctx, c.between(50, 500)) {
			return
		}
	}
}

// play starts an instance and waits for its end.
func (c *client) play(ctx context.Context, i *instance, input any) {
	c.start(ctx, i, input)
	if i.isAcked() {
		c.await(ctx, i)
	}
}

func (i *instance) isAcked() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.acked
}

func (c *client) sum(ctx context.Context, id string) {
	in := workload.Sum{N: 1 + c.rng.IntN(10)}
	c.play(ctx, &instance{ID: id + "-sum", Name: workload.SumName, want: asJSON(in.Want()), tasks: in.N}, in)
}

func (c *client) chain(ctx context.Context, id string) {
	in := workload.Chain{Steps: 1 + c.rng.IntN(6), Millis: c.rng.IntN(1500)}
	c.play(ctx, &instance{ID: id + "-chain", Name: workload.ChainName, want: asJSON(in.Steps), tasks: in.Steps}, in)
}

func (c *client) tree(ctx context.Context, id string) {
	in := workload.Tree{Path: id + "-tree", Depth: 1 + c.rng.IntN(2), Width: 1 + c.rng.IntN(3), Fail: c.rng.IntN(5)}
	i := &instance{ID: in.Path, Name: workload.TreeName, want: asJSON(in.Want()), tasks: 0, children: map[string]string{}}
	addChildren(i.children, in)
	c.play(ctx, i, in)
}

func addChildren(to map[string]string, t workload.Tree) {
	for n := range t.Width {
		child := t.Child(n)
		to[child.Path] = asJSON(child.Want())
		if child.Depth == 0 && child.Fails() {
			to[child.Path] = ""
		}
		if child.Depth > 0 {
			addChildren(to, child)
		}
	}
}

// counter lets two clients and sometimes a courier send messages to one counter, while
// a third client looks at it.
func (c *client) counter(ctx context.Context, id string) {
	i := &instance{ID: id + "-counter", Name: workload.CounterName, tasks: -1, messages: map[string]*message{}}
	c.start(ctx, i, workload.Counter{})
	if !i.isAcked() {
		return
	}
	var all sync.WaitGroup
	for sender := range 2 {
		d, n := c.fork(), 1+c.rng.IntN(7)
		all.Go(func() {
			for m := range n {
				mid := fmt.Sprintf("%s/%d-%d", id, sender, m)
				result, attempts := d.raise(ctx, i.ID, workload.Message, workload.Msg{ID: mid}, false, 1)
				if d.keyed {
					attempts = 1
				}
				i.expectMessage(mid, result == accepted, attempts)
				pause(ctx, d.between(1, 300))
			}
		})
	}
	if c.rng.IntN(3) == 0 {
		d, n := c.fork(), 1+c.rng.IntN(4)
		all.Go(func() { d.courier(ctx, id, i, n) })
	}
	reader := c.fork()
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				reader.read(ctx, i.ID)
				pause(ctx, reader.between(100, 500))
			}
		}
	})
	all.Wait()
	c.raise(ctx, i.ID, workload.Message, workload.Msg{Must: i.must()}, true, 0)
	close(done)
	watch.Wait()
	c.await(ctx, i)
}

// unkeyedStarts is how often a courier may be started when requests have no keys.
const unkeyedStarts = 10

// courier starts an instance that sends n messages to the counter to.
func (c *client) courier(ctx context.Context, id string, to *instance, n int) {
	i := &instance{ID: id + "-courier", Name: workload.CourierName, want: asJSON(n), tasks: n}
	most := 1
	if !c.keyed { // it may be started more than once
		most = unkeyedStarts
	}
	now := int64(c.rec.now())
	c.rec.add(op{Client: c.n, Kind: opPromise, ID: to.ID, Call: now, Return: forever, Result: unknown, Weight: most * n, Count: -1})
	c.start(ctx, i, workload.Courier{To: to.ID, N: n})
	for m := range n {
		to.expectMessage(workload.MessageID(i.ID, m), i.isAcked(), most)
	}
	if i.isAcked() {
		c.await(ctx, i)
	}
}

// gate lets an event race with a terminate, while two clients look.
func (c *client) gate(ctx context.Context, id string) {
	i := &instance{ID: id + "-gate", Name: workload.GateName, tasks: 0}
	c.start(ctx, i, nil)
	if !i.isAcked() {
		return
	}
	var all sync.WaitGroup
	opener, wait := c.fork(), c.between(0, 1500)
	all.Go(func() {
		pause(ctx, wait)
		opener.raise(ctx, i.ID, workload.Go, workload.Passed, true, 0)
	})
	if c.rng.IntN(2) == 0 {
		i.killed = true
		killer, wait := c.fork(), c.between(0, 1500)
		all.Go(func() {
			pause(ctx, wait)
			killer.terminate(ctx, i.ID)
		})
	}
	for range 2 {
		reader := c.fork()
		all.Go(func() {
			for range 4 {
				if s := reader.read(ctx, i.ID); s != nil {
					i.seen(reader.rec, s)
				}
				pause(ctx, reader.between(50, 500))
			}
		})
	}
	all.Wait()
	c.await(ctx, i)
}

// prober is the number of the client that asks for keys.
const prober = 999

// keysHonoured finds out whether a repeated request has no second effect: it starts one
// instance twice under one key.
func keysHonoured(ctx context.Context, rec *recorder, lb *balancer) (bool, error) {
	c := &client{n: prober, rec: rec, lb: lb, keyed: true, rng: rand.New(rand.NewPCG(1, 1))}
	i := &instance{ID: "keys-gate", Name: workload.GateName, tasks: 0}
	c.rec.register(i)
	var again error
	for range 2 {
		c.next, c.rng = 0, rand.New(rand.NewPCG(1, 1))
		r, err := c.send(ctx, startOf(i, nil))
		if err != nil {
			return false, err
		}
		again = r.err
	}
	i.acked, i.killed = true, true
	c.rec.add(op{Client: c.n, Kind: opStart, ID: i.ID, Call: 0, Return: int64(rec.now()), Result: accepted, Count: -1})
	c.terminate(ctx, i.ID)
	c.await(ctx, i)
	return again == nil, nil
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error() // only what marshals is given
	}
	return string(b)
}
