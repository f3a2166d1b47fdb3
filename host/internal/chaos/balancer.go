package main

import (
	"math/rand/v2"
	"sync"
	"time"

	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// How long a host that does not answer is left alone; longer each time.
const (
	minAvoid = 100 * time.Millisecond
	maxAvoid = 15 * time.Second
)

// balancer spreads requests over the hosts that answer. One that does not is tried again
// after a while by a single request: a host that waits for another one's partitions
// holds each request for seconds before it says so. It may be used concurrently.
type balancer struct {
	mu    sync.Mutex
	hosts []backend
}

type backend struct {
	api   *api.Client
	until time.Time     // it is left alone
	avoid time.Duration // for so long at the next failure; 0: it answers
	since time.Time     // of its last failure
}

func newBalancer(f *fleet) *balancer {
	b := &balancer{}
	for _, n := range f.nodes {
		b.hosts = append(b.hosts, backend{api: apiOf(n.url)})
	}
	return b
}

func (b *balancer) api(host int) *api.Client { return b.hosts[host].api } // never written again

// choose picks a host at random among those that answer, or else the one that is to be
// tried again first.
func (b *balancer) choose(rng *rand.Rand) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, open, best := time.Now(), []int{}, 0
	for i, h := range b.hosts {
		if !h.until.After(now) {
			open = append(open, i)
		}
		if h.until.Before(b.hosts[best].until) {
			best = i
		}
	}
	if len(open) > 0 {
		best = open[rng.IntN(len(open))]
	}
	if h := &b.hosts[best]; h.avoid > 0 {
		h.until = now.Add(attemptTimeout) // others wait for what this one finds
	}
	return best
}

// answers notes that a host has answered.
func (b *balancer) answers(host int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hosts[host].avoid, b.hosts[host].until = 0, time.Time{}
}

// fails notes that a host has not answered a request that was sent at the time given.
// Many requests fail together: only one that was sent after the last failure counts.
func (b *balancer) fails(host int, sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, now := &b.hosts[host], time.Now()
	if sent.Before(h.since) {
		return
	}
	h.avoid = min(max(2*h.avoid, minAvoid), maxAvoid)
	h.since, h.until = now, now.Add(h.avoid)
}
