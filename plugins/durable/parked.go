package durable

import "sync"

// parkedCache holds parked executions by execution id and drops the one that was
// used longest ago when there are too many. Methods may be called concurrently.
type parkedCache struct {
	mu     sync.Mutex
	limit  int
	byID   map[string]*execution
	oldest *execution
	newest *execution
}

// take removes and returns the execution of that id, or nil.
func (c *parkedCache) take(id string) *execution {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.byID[id]
	if x != nil {
		c.unlink(x)
	}
	return x
}

// put adds x as the newest, in the place of another one of the same id.
func (c *parkedCache) put(x *execution) {
	c.mu.Lock()
	old := c.byID[x.id]
	if old != nil {
		c.unlink(old)
	}
	if c.byID == nil {
		c.byID = make(map[string]*execution)
	}
	c.byID[x.id] = x
	x.older, x.newer = c.newest, nil
	if c.newest != nil {
		c.newest.newer = x
	} else {
		c.oldest = x
	}
	c.newest = x
	var evicted *execution
	if len(c.byID) > c.limit {
		evicted = c.oldest
		c.unlink(evicted)
	}
	c.mu.Unlock()
	for _, e := range []*execution{old, evicted} {
		if e != nil {
			e.discard() // runs the author's deferred functions: not under the lock
		}
	}
}

// evict drops the execution of that id, if it is parked.
func (c *parkedCache) evict(id string) {
	if x := c.take(id); x != nil {
		x.discard()
	}
}

// setLimit changes the bound and drops what is too much.
func (c *parkedCache) setLimit(n int) {
	for {
		c.mu.Lock()
		c.limit = n
		if len(c.byID) <= n {
			c.mu.Unlock()
			return
		}
		x := c.oldest
		c.unlink(x)
		c.mu.Unlock()
		x.discard()
	}
}

// len says how many are parked.
func (c *parkedCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

// unlink removes x, which is in the cache; mu is held.
func (c *parkedCache) unlink(x *execution) {
	delete(c.byID, x.id)
	if x.older != nil {
		x.older.newer = x.newer
	} else {
		c.oldest = x.newer
	}
	if x.newer != nil {
		x.newer.older = x.older
	} else {
		c.newest = x.older
	}
	x.older, x.newer = nil, nil
}
