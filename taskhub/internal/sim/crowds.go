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

// lists pages through all instances while others work: whoever was there from the first
// page to the last is listed exactly once.
func (c *client) lists(id string) {
	w := c.c.w
	n := w.rng.IntN(5)
	c.starts("Sum", id, strconv.Itoa(n))
	prefix := ""
	if w.chance(0.5) {
		prefix = fmt.Sprintf("c%d-", w.rng.IntN(c.c.plan.Clients))
	}
	before := c.c.present(prefix)
	counts := map[string]int{}
	token := ""
	for pages := 0; ; pages++ {
		var page taskhub.Page
		err := c.try("list", func(ctx context.Context, hub *taskhub.Hub) (err error) {
			page, err = hub.List(ctx, taskhub.Query{IDPrefix: prefix, Token: token, Top: 1 + w.rng.IntN(6)})
			return err
		})
		if err != nil {
			c.fail("%v", err)
			return
		}
		for _, i := range page.Instances {
			counts[i.ID]++
		}
		if token = page.Token; token == "" {
			break
		}
		if len(page.Instances) == 0 {
			c.fail("a page before the last is empty")
			return
		}
		c.c.sleep(w.upTo(100 * time.Millisecond))
	}
	after := c.c.present(prefix)
	for _, known := range before.order {
		if number := before.numbers[known]; after.numbers[known] == number && counts[known] != 1 {
			c.fail("%s is listed %d times", known, counts[known])
		}
	}
	c.ends(id, history.Completed, expectSum(n))
}

// crowd is a set of instances: where each is, and the number under which it was created.
type crowd struct {
	numbers map[string]string
	order   []string
}

// present is the instances that clients know to be there: their start was acknowledged.
func (c *Cluster) present(prefix string) crowd {
	all := crowd{numbers: map[string]string{}}
	for _, id := range c.started {
		if len(id) < len(prefix) || id[:len(prefix)] != prefix {
			continue
		}
		if v, p := c.ref.lookup(id); v != nil {
			if all.numbers[id] == "" {
				all.order = append(all.order, id)
			}
			all.numbers[id] = fmt.Sprintf("%d/%d", p.n, v.Number)
		}
	}
	return all
}

// sweeps purges by query while instances that match are started: those that had ended go,
// those that run stay.
func (c *client) sweeps(id string) {
	w := c.c.w
	ended, run := 1+w.rng.IntN(4), 1+w.rng.IntN(3)
	name := func(kind string, n int) string { return fmt.Sprintf("%s-%s%d", id, kind, n) }
	for n := range ended {
		c.starts("Sum", name("s", n), "2")
	}
	for n := range ended {
		c.ends(name("s", n), history.Completed, expectSum(2))
	}
	purged := c.c.env.NewSignal()
	c.c.env.Go(func() {
		defer purged.Fire()
		c.c.sleep(w.upTo(100 * time.Millisecond))
		count := 0
		err := c.try("purge all of "+id, func(ctx context.Context, hub *taskhub.Hub) (err error) {
			count, err = hub.PurgeBy(ctx, taskhub.Query{IDPrefix: id + "-"})
			return err
		})
		if err != nil {
			c.fail("purge by query: %v", err)
		}
		if count > ended {
			c.fail("purge by query: %d are purged, and only %d had ended", count, ended)
		}
	})
	for n := range run {
		c.starts("Hold", name("h", n), "0")
	}
	_ = purged.Wait(context.Background())
	for n := range ended {
		if v, _ := c.c.ref.lookup(name("s", n)); v != nil {
			c.fail("%s had ended, was purged by query, and is still in the bucket", name("s", n))
		}
	}
	for n := range run {
		for !c.raises(name("h", n), "stop", "null") {
			c.c.sleep(w.upTo(2 * time.Second))
		}
		c.ends(name("h", n), history.Completed, "")
	}
}

// spawns starts something that starts a child which it does not await: it ends for itself,
// whenever the parent does, and has the parent's tags.
func (c *client) spawns(id string) {
	w := c.c.w
	n := 1 + w.rng.IntN(6)
	tags := map[string]string{"by": id}
	c.startsWith(taskhub.StartRequest{Name: "Spawn", ID: id, Input: new(strconv.Itoa(n)), Tags: tags})
	c.ends(id, history.Completed, `"gone"`)
	child := id + ".child"
	var i *taskhub.Instance
	for {
		err := c.try("get "+child, func(ctx context.Context, hub *taskhub.Hub) (err error) {
			i, err = c.see(ctx, hub, child, func() (*taskhub.Instance, error) { return hub.Get(ctx, child, taskhub.GetOptions{}) })
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, taskhub.ErrNotFound) { // its start may still be on its way
			c.fail("%v", err)
			return
		}
		c.c.sleep(w.upTo(time.Second))
	}
	if i.Tags["by"] != id || i.Parent != id {
		c.fail("%s has tags %v and parent %q", child, i.Tags, i.Parent)
	}
	c.ends(child, history.Completed, expectSum(n))
}
