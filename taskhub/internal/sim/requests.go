package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/core"
)

// changes makes a request that changes something, under one request id, until its outcome
// is known, and sometimes once more after that. once says that the hub must have seen all
// attempts as one (E§C12, 13): it has taken effect exactly once if err is nil, and not at
// all if it is not. f also tells what else the answer holds.
func (c *client) changes(what string, f func(ctx context.Context, hub *taskhub.Hub) (string, error)) (once bool, err error) {
	c.asked++
	id := fmt.Sprintf("c%d/%d", c.n, c.asked)
	began, attempts := c.c.w.now, 0
	told := ""
	send := func() error {
		return c.try(what, func(ctx context.Context, hub *taskhub.Hub) (err error) {
			attempts++
			told, err = f(taskhub.WithRequestID(ctx, id), hub)
			return err
		})
	}
	err = send()
	first := told
	if c.c.w.chance(0.2) {
		c.c.sleep(c.c.w.upTo(20 * time.Second))
		again := send()
		if c.c.w.now-began < c.c.remembered() && (told != first || kind(again) != kind(err)) {
			c.fail("the first answer was %s, %v, and then it is %s, %v", first, err, told, again)
		}
	}
	return attempts == 1 || c.c.w.now-began < c.c.remembered(), err
}

// kind is what a client can decide on of an error.
func kind(err error) string {
	for _, k := range []error{taskhub.ErrNotFound, taskhub.ErrInstanceExists, taskhub.ErrTerminal, taskhub.ErrInvalidState, taskhub.ErrInvalidArgument} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	return errText(err)
}

// changed is changes for a request that is answered with an error or none. Where the
// attempts took longer than requests are remembered, repeated is what the last of them is
// told when one before had worked, and counts as success.
func (c *client) changed(what string, repeated error, f func(ctx context.Context, hub *taskhub.Hub) error) (once bool, err error) {
	once, err = c.changes(what, func(ctx context.Context, hub *taskhub.Hub) (string, error) { return "", f(ctx, hub) })
	if !once && repeated != nil && errors.Is(err, repeated) {
		err = nil
	}
	return once, err
}

// remembered is for how long, in the world's time, requests are remembered at least: the
// clocks of hosts may step meanwhile.
func (c *Cluster) remembered() time.Duration {
	if c.plan.ClockSteps > 0 && c.plan.Leaps {
		return 0 // an hour may pass at once
	}
	if c.plan.ClockSteps > 0 || c.plan.Drift {
		return core.RequestMemory - 3*time.Minute
	}
	return core.RequestMemory - time.Second
}
