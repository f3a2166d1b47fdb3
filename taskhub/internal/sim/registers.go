package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// register is an instance that one client writes, by suspending and resuming it, and that
// several read through whatever host: it must be linearizable (E§C13, 4). Version 2n-1 is
// the n-th suspension, whose reason tells n, and 2n the resumption after it.
type register struct {
	id string
	// least is the version that a read that begins now must find at least: it was
	// acknowledged, or read. most is what it may find at most when it ends.
	least, most int
	over        bool
}

// registers writes a register and lets others read it.
func (c *client) registers(id string) {
	w := c.c.w
	c.starts("Hold", id, "0")
	r := &register{id: id}
	readers := 1 + w.rng.IntN(3)
	quiet := c.c.env.NewSignal()
	for range readers {
		c.c.env.Go(func() {
			for !r.over && w.failure == nil {
				c.reads(r)
				c.c.sleep(w.upTo(400 * time.Millisecond))
			}
			if readers--; readers == 0 {
				quiet.Fire()
			}
		})
	}
	for n := 1; n <= 3+w.rng.IntN(1+c.c.plan.Writes) && w.failure == nil; n++ {
		for _, on := range []bool{true, false} {
			r.most++
			once, err := c.changed(fmt.Sprintf("write version %d of %s", r.most, id), taskhub.ErrInvalidState, func(ctx context.Context, hub *taskhub.Hub) error {
				if on {
					return hub.Suspend(ctx, id, strconv.Itoa(n))
				}
				return hub.Resume(ctx, id, "go on")
			})
			if err != nil {
				c.fail("%v", err)
			}
			if !once { // a forgotten attempt may come to life yet
				r.over = true
			}
			r.least = max(r.least, r.most)
			c.c.sleep(w.upTo(time.Second))
		}
		if r.over {
			break
		}
	}
	r.over = true
	_ = quiet.Wait(context.Background())
	_, err := c.changed("terminate "+id, taskhub.ErrTerminal, func(ctx context.Context, hub *taskhub.Hub) error { return hub.Terminate(ctx, id, "enough", false) })
	if err != nil {
		c.fail("%v", err)
		return
	}
	c.ends(id, history.Terminated, `"enough"`)
}

// reads reads a register once.
func (c *client) reads(r *register) {
	least := r.least
	var i *taskhub.Instance
	err := c.c.call("read "+r.id, func(ctx context.Context, hub *taskhub.Hub) (err error) {
		i, err = hub.Get(ctx, r.id, taskhub.GetOptions{Payloads: true})
		return err
	})
	switch {
	case r.over || err != nil && unknown(err):
		return
	case err != nil:
		c.fail("%v", err)
		return
	}
	version := least + least%2 // running: whichever resumption is the earliest possible
	if i.Status == history.Suspended {
		n, err := strconv.Atoi(unquote(text(i.Output)))
		if err != nil {
			c.fail("%s is suspended by %s", r.id, text(i.Output))
			return
		}
		version = 2*n - 1
	}
	if version < least || version > r.most {
		c.fail("a read of %s finds version %d (%s), though %d was known before and %d is the last", r.id, version, history.StatusName(i.Status), least, r.most)
	}
	r.least = max(r.least, version)
}

func unquote(s string) string {
	if t, err := strconv.Unquote(s); err == nil {
		return t
	}
	return s
}

// sight is what any client has seen of an instance: no later read may find less.
type sight struct {
	execution string
	past      []string // executions before it
	status    taskhub.Status
	events    []string // of execution, encoded; what History has answered
}

// see gets an instance, and compares it with what was seen before the request was sent,
// through whatever host.
func (c *client) see(ctx context.Context, hub *taskhub.Hub, id string, get func() (*taskhub.Instance, error)) (*taskhub.Instance, error) {
	before := c.c.seen[id]
	i, err := get()
	if err != nil {
		return nil, err
	}
	c.older(id, before, i.Execution)
	if before.execution == i.Execution && history.IsTerminal(before.status) && i.Status != before.status {
		c.fail("%s was %s, and is %s in the same execution", id, history.StatusName(before.status), history.StatusName(i.Status))
	}
	if now, newest := c.c.sees(id, i.Execution); newest {
		now.status = i.Status
		c.c.seen[id] = now
	}
	if c.c.w.chance(0.2) {
		return i, c.peeks(ctx, hub, id)
	}
	return i, nil
}

// older fails if an execution was over when the request was sent.
func (c *client) older(id string, before sight, execution string) {
	for _, e := range before.past {
		if e == execution {
			c.fail("%s is back in execution %s, after %s", id, execution, before.execution)
		}
	}
}

// sees is what is known of an instance that is in an execution; newest says that no read
// has found a later one meanwhile.
func (c *Cluster) sees(id, execution string) (now sight, newest bool) {
	now = c.seen[id]
	if now.execution == execution {
		return now, true
	}
	for _, e := range now.past {
		if e == execution {
			return now, false
		}
	}
	next := sight{execution: execution, past: now.past}
	if now.execution != "" {
		next.past = append(next.past, now.execution)
	}
	return next, true
}

// exact encodes equal events as equal bytes: tags are a map.
var exact = proto.MarshalOptions{Deterministic: true}

// peeks reads a history: within an execution it only grows (E§C12, 15).
func (c *client) peeks(ctx context.Context, hub *taskhub.Hub, id string) error {
	before := c.c.seen[id]
	list, err := hub.History(ctx, id)
	if err != nil || len(list) == 0 {
		if errors.Is(err, taskhub.ErrNotFound) {
			return nil // purged meanwhile
		}
		return err
	}
	execution := ""
	events := make([]string, len(list))
	for n, e := range list {
		if started := e.GetExecutionStarted(); started != nil {
			execution = started.GetOrchestrationInstance().GetExecutionId().GetValue()
		}
		b, err := exact.Marshal(e)
		if err != nil {
			return err
		}
		events[n] = string(b)
	}
	if execution == "" {
		return nil // it has not begun
	}
	c.older(id, before, execution)
	if before.execution == execution {
		for n, e := range before.events {
			if n >= len(events) || events[n] != e {
				c.fail("event %d of %s is another one or gone, there were %d and are %d", n, id, len(before.events), len(events))
				break
			}
		}
	}
	if now, newest := c.c.sees(id, execution); newest && len(events) > len(now.events) {
		now.events = events
		c.c.seen[id] = now
	}
	return nil
}
