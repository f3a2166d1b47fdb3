package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// raises raises an event once and reports whether it was acknowledged.
func (c *client) raises(id, name, data string) (acknowledged bool) {
	c.doing = "raise " + name + " " + data + " to " + id
	err := c.c.call(c.doing, func(ctx context.Context, hub *taskhub.Hub) error {
		err := hub.RaiseEvent(ctx, id, name, &data)
		if err == nil && name != "stop" && !c.c.ref.hasRaised(id, data) {
			c.fail("acknowledged, and not in the bucket")
		}
		return err
	})
	if name == "stop" && errors.Is(err, taskhub.ErrTerminal) {
		return true // one before it had worked
	}
	if err != nil && !unknown(err) {
		c.fail("%v", err)
	}
	return err == nil
}

// insists raises an event until that is acknowledged, under one request id. once says
// that it must arrive exactly once.
func (c *client) insists(id, name, data string) (once bool) {
	once, err := c.changed("raise "+name+" "+data+" to "+id, nil, func(ctx context.Context, hub *taskhub.Hub) error {
		err := hub.RaiseEvent(ctx, id, name, &data)
		if err == nil && !c.c.ref.hasRaised(id, data) {
			c.fail("acknowledged, and not in the bucket")
		}
		return err
	})
	if err != nil {
		c.fail("%v", err)
	}
	return once
}

// counts feeds a counter with events: those that were acknowledged count once, however
// often they were raised under one id, the others at most once.
func (c *client) counts(id string) {
	w := c.c.w
	c.starts("Counter", id, encode(counterState{}))
	sure, sent, often := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for n := range w.rng.IntN(15) {
		sent[n] = true
		if w.chance(0.6) {
			sure[n], often[n] = true, !c.insists(id, "add", strconv.Itoa(n))
		} else if c.raises(id, "add", strconv.Itoa(n)) {
			sure[n] = true
		}
		if w.chance(0.3) {
			c.c.sleep(w.upTo(2 * time.Second))
		}
	}
	for !c.raises(id, "stop", "null") {
		c.c.sleep(w.upTo(2 * time.Second))
	}
	i := c.end(id)
	if i == nil {
		return
	}
	var seen []int
	if err := json.Unmarshal([]byte(text(i.Output)), &seen); err != nil {
		c.fail("%s ended with %s, %s", id, history.StatusName(i.Status), text(i.Output))
		return
	}
	times := map[int]int{}
	for _, n := range seen {
		times[n]++
		if !sent[n] || times[n] > 1 && !often[n] {
			c.fail("%s has seen event %d %d times: %v", id, n, times[n], seen)
		}
	}
	for n := range sure {
		if times[n] == 0 {
			c.fail("%s has not seen the acknowledged event %d: %v", id, n, seen)
		}
	}
}

// state reads an instance once; nil when the outcome is unknown or there is none.
func (c *client) state(id string) *taskhub.Instance {
	var i *taskhub.Instance
	err := c.c.call("get "+id, func(ctx context.Context, hub *taskhub.Hub) (err error) {
		i, err = c.see(ctx, hub, id, func() (*taskhub.Instance, error) {
			return hub.Get(ctx, id, taskhub.GetOptions{Payloads: true})
		})
		return err
	})
	if err != nil {
		return nil
	}
	return i
}

// relays lets orchestrations send events to a counter, which ends when it has all.
func (c *client) relays(id string) {
	w := c.c.w
	senders, each := 1+w.rng.IntN(3), 1+w.rng.IntN(8)
	c.starts("Counter", id, encode(counterState{Goal: senders * each}))
	var want []int
	again := false
	for s := range senders {
		in := relayInput{Target: id, From: 100 * s, Count: each}
		again = c.starts("Relay", fmt.Sprintf("%s-r%d", id, s), encode(in)) || again
		for k := range each {
			want = append(want, in.From+k)
		}
	}
	for s := range senders {
		c.ends(fmt.Sprintf("%s-r%d", id, s), history.Completed, strconv.Itoa(each))
	}
	if again {
		c.ends(id, history.Completed, "") // some events were rightly sent twice
		return
	}
	c.ends(id, history.Completed, encode(want))
}

// pauses suspends and resumes an instance while it works.
func (c *client) pauses(id string) {
	w := c.c.w
	n := 3 + w.rng.IntN(6)
	c.starts("Steps", id, strconv.Itoa(n))
	for range 1 + w.rng.IntN(3) {
		c.c.sleep(w.upTo(500 * time.Millisecond))
		_, err := c.changed("suspend "+id, taskhub.ErrInvalidState, func(ctx context.Context, hub *taskhub.Hub) error {
			err := hub.Suspend(ctx, id, "for a while")
			if v, _ := c.c.ref.lookup(id); err == nil && (v == nil || !held(v.Row.Status)) {
				c.fail("acknowledged, and not in the bucket")
			}
			return err
		})
		if errors.Is(err, taskhub.ErrTerminal) || errors.Is(err, taskhub.ErrInvalidState) && c.c.plan.Misfits {
			break // it has ended, or is held since its code does not fit
		}
		if err != nil {
			c.fail("%v", err)
			return
		}
		before := c.state(id)
		c.c.sleep(w.upTo(10 * time.Second))
		after := c.state(id)
		for _, i := range []*taskhub.Instance{before, after} {
			if i != nil && !held(i.Status) {
				c.fail("%s is suspended and found %s", id, history.StatusName(i.Status))
			}
		}
		_, err = c.changed("resume "+id, taskhub.ErrInvalidState, func(ctx context.Context, hub *taskhub.Hub) error { return hub.Resume(ctx, id, "go on") })
		if err != nil && !errors.Is(err, taskhub.ErrTerminal) {
			c.fail("%v", err)
			return
		}
	}
	c.ends(id, history.Completed, expectSteps(n))
}

// held reports whether an instance is as it must be after it was suspended. An episode
// that was out at that moment may still have ended it.
func held(s taskhub.Status) bool { return s == history.Suspended || history.IsTerminal(s) }

// kills terminates a tree of instances that would wait for a day, and purges them.
func (c *client) kills(id string) {
	w := c.c.w
	n := w.rng.IntN(3)
	c.starts("Hold", id, strconv.Itoa(n))
	c.c.sleep(w.upTo(2 * time.Second))
	_, err := c.changed("terminate "+id, taskhub.ErrTerminal, func(ctx context.Context, hub *taskhub.Hub) error {
		err := hub.Terminate(ctx, id, "enough", true)
		if v, _ := c.c.ref.lookup(id); err == nil && (v == nil || v.Row.Status != history.Terminated) {
			c.fail("acknowledged, and not in the bucket")
		}
		return err
	})
	if err != nil {
		c.fail("%v", err)
		return
	}
	c.ends(id, history.Terminated, `"enough"`)
	// Every child that was started ends as well, whatever message it overtook.
	if w.chance(0.5) {
		c.purges(id)
	}
}

// purges removes an ended instance, for good.
func (c *client) purges(id string) {
	_, err := c.changed("purge "+id, taskhub.ErrNotFound, func(ctx context.Context, hub *taskhub.Hub) error {
		err := hub.Purge(ctx, id)
		if v, _ := c.c.ref.lookup(id); err == nil && v != nil {
			c.fail("acknowledged, and still in the bucket")
		}
		return err
	})
	if err != nil {
		c.fail("%v", err)
		return
	}
	err = c.try("get purged "+id, func(ctx context.Context, hub *taskhub.Hub) error {
		_, err := hub.Get(ctx, id, taskhub.GetOptions{})
		return err
	})
	if !errors.Is(err, taskhub.ErrNotFound) {
		c.fail("it was purged, and a query answers %v", err)
	}
}

// carries lets a payload travel that is too big for events, and purges what carried it.
func (c *client) carries(id string) {
	big := encode(strings.Repeat(id+" ", (64<<10)/len(id)))
	again := c.starts("Pass", id, big)
	i := c.end(id)
	if i == nil || again {
		return
	}
	if got := text(i.Output); i.Status != history.Completed || got != big {
		c.fail("%s is %s with %d bytes, expected %d", id, history.StatusName(i.Status), len(got), len(big))
	}
	if c.c.w.chance(0.5) {
		c.purges(id)
		c.ends(id+".echo", history.Completed, big) // its payload is its own
	}
}

// reuses starts one id again and again, with other work; messages of the former
// instance must not reach the next.
func (c *client) reuses(id string) {
	w := c.c.w
	for range 2 + w.rng.IntN(3) {
		if w.chance(0.4) {
			in := treeInput{Depth: 1, Width: 1 + w.rng.IntN(3), Explicit: true}
			c.starts("Tree", id, encode(in))
			if w.chance(0.5) {
				c.ends(id, history.Completed, "")
				continue
			}
			c.c.sleep(w.upTo(time.Second))
			_, err := c.changed("terminate "+id, nil, func(ctx context.Context, hub *taskhub.Hub) error { return hub.Terminate(ctx, id, "again", false) })
			if err != nil && !errors.Is(err, taskhub.ErrTerminal) {
				c.fail("%v", err)
				return
			}
			c.end(id)
		} else {
			n := w.rng.IntN(5)
			c.starts("Sum", id, strconv.Itoa(n))
			c.ends(id, history.Completed, expectSum(n))
		}
		if w.chance(0.3) {
			c.purges(id)
		}
	}
}
