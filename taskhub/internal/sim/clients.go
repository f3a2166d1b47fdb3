package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// client is one user: it plays one story after another and knows the right answers.
type client struct {
	c     *Cluster
	n     int
	doing string
	done  bool
	asked int             // requests that change something
	used  map[string]bool // instance ids
}

// stories are what clients do; each uses ids of its own.
var stories = []func(c *client, id string){
	(*client).computes, (*client).counts, (*client).relays, (*client).waits, (*client).pauses, (*client).kills, (*client).reuses, (*client).carries,
	(*client).naps, (*client).registers, (*client).lists, (*client).sweeps, (*client).spawns,
}

// play runs the client's rounds.
func (c *client) play(rounds int, pause time.Duration) {
	for round := range rounds {
		c.c.sleep(c.c.w.upTo(pause))
		story := stories[c.c.w.rng.IntN(len(stories))]
		if c.c.plan.OnlyRegisters {
			story = (*client).registers
		}
		story(c, fmt.Sprintf("c%d-%d", c.n, round))
	}
	c.done = true
	c.c.w.tracef("client %d is done", c.n)
}

// try calls until the outcome is known, and returns it.
func (c *client) try(what string, f func(ctx context.Context, hub *taskhub.Hub) error) error {
	c.doing = what
	for {
		err := c.c.call(what, f)
		if err == nil || !unknown(err) {
			return err
		}
		c.c.sleep(c.c.w.upTo(3 * time.Second))
	}
}

func (c *client) fail(format string, args ...any) {
	c.c.w.fail("client %d: %s: %s", c.n, c.doing, fmt.Sprintf(format, args...))
}

// starts starts an instance and checks, at the instant of the acknowledgement, that it
// is in the bucket. again says that it may have run twice: the attempts took longer than
// requests are remembered, an early one had worked, and the instance ended before the last
// one, which replaced it.
func (c *client) starts(name, id, input string) (again bool) {
	return c.startsWith(taskhub.StartRequest{Name: name, ID: id, Input: &input})
}

func (c *client) startsWith(r taskhub.StartRequest) (again bool) {
	replaced, id := false, r.ID
	once, err := c.changes("start "+r.Name+" "+id, func(ctx context.Context, hub *taskhub.Hub) (string, error) {
		result, err := hub.Start(ctx, r)
		replaced = result.Replaced
		if err == nil {
			if v, _ := c.c.ref.lookup(id); v == nil {
				c.fail("acknowledged, and not in the bucket")
			}
		}
		return fmt.Sprintf("%+v", result), err
	})
	if !once && errors.Is(err, taskhub.ErrInstanceExists) {
		err = nil // an attempt before had worked
	}
	if err != nil {
		c.fail("%v", err)
	}
	if once && replaced && !c.used[id] {
		c.fail("it replaced an instance, and there was none")
	}
	if c.used == nil {
		c.used = map[string]bool{}
	}
	c.used[id] = true
	c.c.started = append(c.c.started, id)
	return !once
}

// ends waits for an instance's end and compares it with what is expected.
func (c *client) ends(id string, status taskhub.Status, output string) {
	i := c.end(id)
	if i == nil {
		return
	}
	if got := text(i.Output); i.Status != status || output != "" && got != output {
		c.fail("%s is %s with %s, expected %s with %s", id, history.StatusName(i.Status), got, history.StatusName(status), output)
	}
}

func text(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

// end waits for an instance's end, by Wait or by asking again and again.
func (c *client) end(id string) *taskhub.Instance {
	var i *taskhub.Instance
	for {
		err := c.try("wait "+id, func(ctx context.Context, hub *taskhub.Hub) (err error) {
			i, err = c.see(ctx, hub, id, func() (*taskhub.Instance, error) {
				all := taskhub.GetOptions{Payloads: true}
				if c.c.w.chance(0.5) {
					return hub.Wait(ctx, id, all)
				}
				return hub.Get(ctx, id, all)
			})
			return err
		})
		if err != nil {
			c.fail("%v", err)
			return nil
		}
		if history.IsTerminal(i.Status) {
			return i
		}
		c.c.sleep(c.c.w.upTo(10 * time.Second))
	}
}

// computes starts something whose result it can compute.
func (c *client) computes(id string) {
	w := c.c.w
	switch w.rng.IntN(3) {
	case 0:
		n := w.rng.IntN(12)
		c.starts("Sum", id, strconv.Itoa(n))
		c.ends(id, history.Completed, expectSum(n))
	case 1:
		n := w.rng.IntN(8)
		c.starts("Steps", id, strconv.Itoa(n))
		c.ends(id, history.Completed, expectSteps(n))
	default:
		in := treeInput{Depth: 1 + w.rng.IntN(2), Width: 1 + w.rng.IntN(4), Explicit: w.chance(0.5)}
		if w.chance(0.2) {
			in.Depth, in.Width = 1, 8+w.rng.IntN(4)
		}
		c.starts("Tree", id, encode(in))
		total, _ := expectTree(in)
		c.ends(id, history.Completed, strconv.Itoa(total))
	}
}

// waits plays with timers.
func (c *client) waits(id string) {
	w := c.c.w
	if w.chance(0.5) {
		c.starts("Race", id, strconv.Itoa(w.rng.IntN(6)))
		c.ends(id, history.Completed, "")
		return
	}
	delays := make([]int, w.rng.IntN(6))
	for k := range delays {
		delays[k] = int(w.upTo(2*time.Minute).Milliseconds()) - 1000
	}
	c.starts("Timers", id, encode(delays))
	c.ends(id, history.Completed, strconv.Itoa(len(delays)))
}
