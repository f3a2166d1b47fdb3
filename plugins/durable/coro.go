package durable

import (
	"iter"
	"sync"
)

// coro is a goroutine that runs orchestrators one after the other, handing
// control back and forth with the runner: strictly one side runs at a time.
// iter.Pull is the cheapest hand-over in Go, several times cheaper than channels,
// because no scheduler is involved. A coro is reused after its orchestrator
// returned: its stack has grown to the size that orchestrators need.
type coro struct {
	job  func() // what to run at the next resume of an idle coro
	next func() (struct{}, bool)
	stop func()
	// yield parks the coro; false means that it is to unwind.
	yield func(struct{}) bool
}

func newCoro() *coro {
	c := &coro{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			job := c.job
			c.job = nil
			job()
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

// resume runs the coro until it parks or its job is done.
func (c *coro) resume() { c.next() }

// unwind ends a parked coro for good and returns when its deferred functions
// have run. The orchestrator leaves by runtime.Goexit, which unlike a panic
// cannot be recovered by the author's code; iter.Pull hands a Goexit on to the
// caller of stop, therefore that is a goroutine of its own.
func (c *coro) unwind() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.stop()
	}()
	<-done
}

// maxIdleCoros bounds how many idle coros are kept for reuse.
const maxIdleCoros = 256

// coroPool keeps idle coros. Methods may be called concurrently.
type coroPool struct {
	mu     sync.Mutex
	idle   []*coro
	closed bool
}

func (p *coroPool) get() *coro {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return newCoro()
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// put takes back a coro whose job is done.
func (p *coroPool) put(c *coro) {
	p.mu.Lock()
	keep := len(p.idle) < maxIdleCoros && !p.closed
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.stop() // idle: returns at once
	}
}

// close ends all idle coros, and those that come back later.
func (p *coroPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.stop()
	}
}
