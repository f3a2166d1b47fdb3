package main

import (
	"context"
	"time"

	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// watchersPerHost look at every host all the time. Clients go where they are answered,
// so only a watcher asks a host that is frozen or cut off, while others do its work.
const watchersPerHost = 5

// Watchers are impatient, each time for another time: what was asked of a frozen host
// early tells little, since the world has not moved on yet when that was asked.
const (
	leastPatience = 300  // milliseconds
	mostPatience  = 7000 // longer than a lease and what a takeover takes
)

// watch reads instances that are at work from one host, once each, until stop is closed.
func (c *client) watch(ctx context.Context, stop <-chan struct{}, host int) {
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
			if id := c.rec.recent(c.rng.IntN(lookAt)); id != "" {
				c.look(ctx, id, host)
			}
		}
		if !pause(ctx, c.between(100, 500)) {
			return
		}
	}
}

// look asks one host once. No answer, and 503, tell nothing.
func (c *client) look(ctx context.Context, id string, host int) {
	ctx, cancel := context.WithTimeout(ctx, c.between(leastPatience, mostPatience))
	defer cancel()
	r := &reply{host: host, attempts: 1, sent: c.rec.now()}
	var in *api.Instance
	in, r.err = c.lb.api(host).Get(ctx, id, api.GetOptions{})
	r.got = c.rec.now()
	if tells(r.err) {
		c.saw(id, in, r)
	}
}

// between is a random time, in milliseconds.
func (c *client) between(low, high int) time.Duration {
	return time.Duration(low+c.rng.IntN(high-low)) * time.Millisecond
}
