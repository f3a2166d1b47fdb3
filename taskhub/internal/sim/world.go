package sim

import (
	"container/heap"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// World is everything that a seed determines. It is used from one goroutine.
type World struct {
	rng     *rand.Rand
	now     time.Duration // virtual time since the beginning
	seq     uint64        // orders events of one moment
	events  eventHeap
	current *coroutine // nil in an event or a loop
	hosts   []*Host
	steps   uint64
	failure error
	calls   int // of the scheduler, in the present event
	trace   trace
}

// beginning is the wall clock at virtual time 0.
var beginning = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// maxSteps ends a world that runs in circles.
const maxSteps = 20_000_000

// NewWorld makes an empty world. keep is how many lines of its trace it remembers.
func NewWorld(seed uint64, keep int) *World {
	return &World{rng: rand.New(rand.NewPCG(seed, 0x9E3779B97F4A7C15)), trace: trace{keep: keep, hash: fnv.New64a()}}
}

// Time is the virtual time since the beginning.
func (w *World) Time() time.Duration { return w.now }

// ErrViolation is in every failure of a world: an invariant does not hold.
var ErrViolation = errors.New("invariant violated")

// fail notes the first failure; the world stops after the present event.
func (w *World) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("%w at %v: %s", ErrViolation, w.now, fmt.Sprintf(format, args...))
		w.tracef("FAILURE %v", w.failure)
	}
}

// caught turns a panic into a failure, except the one that ends a killed coroutine.
func (w *World) caught() {
	if p := recover(); p != nil && p != any(errKilled) {
		w.fail("panic: %v\n%s", p, debug.Stack())
	}
}

// Run lets the world go on until done says so, nothing is left to happen, or a
// failure, which it returns.
func (w *World) Run(done func() bool) error {
	for w.failure == nil && !done() && len(w.events) > 0 {
		w.step()
	}
	return w.failure
}

// step takes the next event.
func (w *World) step() {
	e := heap.Pop(&w.events).(*event)
	e.index = -1
	if e.host != nil {
		if !e.host.alive {
			return
		}
		if until := e.host.frozenUntil; e.at < until {
			// What has piled up during a freeze comes in any order.
			e.at = until + w.upTo(30*time.Millisecond)
			heap.Push(&w.events, e)
			return
		}
	}
	if w.steps++; w.steps > maxSteps {
		w.fail("the world runs in circles: %d events", w.steps)
		return
	}
	w.now = e.at
	w.trace.mix(uint64(e.at), e.seq)
	w.calls = 0
	defer w.caught()
	e.run()
}

// maxCalls is how often one event may ask the scheduler for something.
const maxCalls = 100_000

// called counts a call of the scheduler: a coroutine that runs in circles without ever
// waiting would stop the world.
func (w *World) called() {
	if w.calls++; w.calls > maxCalls {
		w.fail("a coroutine runs in circles:\n%s", debug.Stack())
		panic(errKilled)
	}
}

// at schedules run for host after d; a nil host is the world itself. It does not
// happen when the host crashes first, and waits while the host is frozen.
func (w *World) at(host *Host, d time.Duration, run func()) *event {
	if host != nil && !host.alive {
		return &event{index: -1}
	}
	w.seq++
	e := &event{at: w.now + max(d, 0), seq: w.seq, host: host, run: run}
	heap.Push(&w.events, e)
	return e
}

// cancel takes an event back if it has not happened.
func (w *World) cancel(e *event) {
	if e != nil && e.index >= 0 {
		heap.Remove(&w.events, e.index)
		e.index = -1
	}
}

// upTo draws a duration below d.
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// chance is true with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// jitter is the delay of a wake-up: it lets what happens at one moment happen in any
// order.
func (w *World) jitter() time.Duration { return w.upTo(5 * time.Microsecond) }

// Close ends all coroutines that are left.
func (w *World) Close() {
	for _, h := range w.hosts {
		h.kill()
	}
}

// event is something that will happen.
type event struct {
	at    time.Duration
	seq   uint64
	host  *Host
	run   func()
	index int // in the heap; -1 outside
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(a, b int) bool {
	if h[a].at != h[b].at {
		return h[a].at < h[b].at
	}
	return h[a].seq < h[b].seq
}

func (h eventHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}

// Push serves container/heap.
func (h *eventHeap) Push(x any) {
	e := x.(*event)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop serves container/heap.
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
