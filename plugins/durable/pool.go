package durable

import (
	"sync"

	"github.com/durafunc/durafunc/plugins/protocol/fifo"
)

// pool runs items on reused goroutines, whose stacks have grown already. It has at
// most max of them and keeps at most keep idle. A burst wakes one goroutine; each
// that takes an item and leaves others behind wakes the next one before it runs
// its own, so that short items cost few wake-ups and a blocked one holds up nobody.
type pool[T any] struct {
	run  func(worker int, item T) // worker: 0 to max-1
	max  int
	keep int

	mu      sync.Mutex
	wake    sync.Cond
	queue   fifo.Queue[T]
	idle    int
	workers int
	free    []int // numbers of workers that ended
	next    int   // the first number never used
	closed  bool
	ended   sync.WaitGroup
}

func newPool[T any](maxWorkers, keep int, run func(int, T)) *pool[T] {
	p := &pool[T]{run: run, max: maxWorkers, keep: keep}
	p.wake.L = &p.mu
	return p
}

// add queues items.
func (p *pool[T]) add(items ...T) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.Push(items...)
	p.wakeOne()
}

// close lets the workers end when the queue is empty. It does not wait for them.
func (p *pool[T]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Broadcast()
}

// wakeOne gets one more worker going; mu is held.
func (p *pool[T]) wakeOne() {
	if p.idle > 0 {
		p.wake.Signal()
		return
	}
	if p.workers == p.max {
		return // they come back to the queue
	}
	p.workers++
	n := p.next
	if k := len(p.free); k > 0 {
		n, p.free = p.free[k-1], p.free[:k-1]
	} else {
		p.next++
	}
	p.ended.Go(func() { p.work(n) })
}

func (p *pool[T]) work(n int) {
	p.mu.Lock()
	// Also when the author's code ends the goroutine by runtime.Goexit.
	defer func() {
		p.workers--
		p.free = append(p.free, n)
		if p.queue.Len() > 0 {
			p.wakeOne()
		}
		p.mu.Unlock()
	}()
	for {
		item, ok := p.take()
		if !ok {
			return
		}
		p.runUnlocked(n, item)
	}
}

// runUnlocked runs an item without mu, and holds it again however run ends.
func (p *pool[T]) runUnlocked(n int, item T) {
	p.mu.Unlock()
	defer p.mu.Lock()
	p.run(n, item)
}

// take waits for an item; false: this worker is to end. mu is held.
func (p *pool[T]) take() (item T, ok bool) {
	for p.queue.Len() == 0 {
		if p.closed || p.idle >= p.keep {
			return item, false
		}
		p.idle++
		p.wake.Wait()
		p.idle--
	}
	item, ok = p.queue.Pop()
	if p.queue.Len() > 0 {
		p.wakeOne()
	}
	return item, ok
}
