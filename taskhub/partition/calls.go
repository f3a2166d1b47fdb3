package partition

import (
	"slices"
	"sync"
)

// calls are the requests that wait for an answer of the partition.
type calls struct {
	mu    sync.Mutex
	next  uint64
	open  map[uint64]func(error)
	ended error
}

func (c *calls) add(ended func(error)) (forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		ended(c.ended)
		return func() {}
	}
	if c.open == nil {
		c.open = map[uint64]func(error){}
	}
	c.next++
	n := c.next
	c.open[n] = ended
	return func() {
		c.mu.Lock()
		delete(c.open, n)
		c.mu.Unlock()
	}
}

// waiting reports whether somebody waits for an answer.
func (c *calls) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open) > 0
}

// end tells everyone, in the order in which they came.
func (c *calls) end(err error) {
	c.mu.Lock()
	c.ended = err
	open := c.open
	c.open = nil
	c.mu.Unlock()
	order := make([]uint64, 0, len(open))
	for n := range open {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		open[n](err)
	}
}
