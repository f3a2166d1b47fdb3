// Package dispatch is the work.Executor over the function apps: it takes the work
// items of the engine's partitions, and the calls of triggers, sends each to the app
// that has its function while fewer than the host's limit run, and carries the answers
// back. The engine's work for a function that no app has waits for one to appear.
//
// Lock: Dispatcher.mu, under which App.Send and the function of Yield are called; partitions
// and callers of Invoke are answered without it. It may import work, history, protocol,
// supervisor and trigger.
package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/work"
)

// DefaultFunctionNotFoundTimeout is how long work waits for its function (F§14 O4).
const DefaultFunctionNotFoundTimeout = 5 * time.Minute

// App is one running version of a function app.
type App interface {
	// Send gives the app a frame without blocking: all of it, or nothing and false
	// when the app takes no more; SetFunctions will then show what replaces it.
	// It must not call the Dispatcher.
	Send(f *protocol.HostFrame) bool
}

// Options configures a Dispatcher.
type Options struct {
	// MaxOrchestrators, MaxActivities and MaxInvocations bound the items of each kind
	// that are with apps at one time; further ones wait in the order of their arrival.
	// 0: no bound.
	MaxOrchestrators, MaxActivities, MaxInvocations int
	// FunctionNotFoundTimeout is how long an item of the engine's waits for a function
	// that no app has before it is answered as failed; 0: at once. An app that is
	// restarting has its functions.
	FunctionNotFoundTimeout time.Duration

	// Now and AfterFunc are the clock; nil: the system's. AfterFunc calls f once
	// after d, from any goroutine but never before it returned.
	Now       func() time.Time
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
}

// Dispatcher is a work.Local, and the supervisor.Handler that gets its answers.
// All methods may be called concurrently.
type Dispatcher struct {
	opt    Options
	lastID atomic.Uint64

	mu      sync.Mutex
	stopped bool
	items   map[uint64]*item     // every item that is not answered
	byToken map[work.Token]*item // those that the engine can cancel
	lanes   [kinds]lane
	routes  routes
	parked  map[parkKey]*parked
	expiry  []expiring // in the order of deadlines
	timer   func() bool
}

var _ work.Local = (*Dispatcher)(nil)

// New makes a Dispatcher that has no functions yet.
func New(opt Options) *Dispatcher {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.AfterFunc == nil {
		opt.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	d := &Dispatcher{
		opt:     opt,
		items:   make(map[uint64]*item),
		byToken: make(map[work.Token]*item),
		parked:  make(map[parkKey]*parked),
		routes:  newRoutes(nil),
	}
	d.lanes[Orchestrator].limit = opt.MaxOrchestrators
	d.lanes[Activity].limit = opt.MaxActivities
	d.lanes[Triggered].limit = opt.MaxInvocations
	return d
}

// item is one work item from Submit or Invoke to its answer.
type item struct {
	id    uint64
	kind  Kind
	name  string
	size  int // about, in bytes
	work  protocol.Work
	asked asked // by the engine
	call  *call // by Invoke; nil: by the engine

	app       App       // with which it is; nil: none
	deadline  time.Time // of waiting for its function; zero: it does not
	cancelled bool
}

// asked is how the engine knows an item.
type asked struct {
	kind    work.Kind
	token   work.Token
	results func([]*work.Result)
}

// byEngine reports whether the engine can cancel an item, by its token.
func (it *item) byEngine() bool { return it.call == nil && it.kind.Cancellable() }

// Submit implements work.Executor.
func (d *Dispatcher) Submit(b work.Batch, results func([]*work.Result)) {
	items := d.build(b.Items, results) // before the lock is taken
	d.locked(func(fs *frames, out *deliveries) {
		for i := range items {
			d.admit(&items[i], out)
		}
		for _, t := range b.Cancels {
			if it := d.byToken[t]; it != nil {
				d.cancel(it, fs, out)
			}
		}
		if len(b.Evict) > 0 {
			for _, app := range d.routes.orchestratorApps {
				fs.of(app).Evict = b.Evict
			}
		}
	})
}

// locked changes something under the lock; then it sends what can be sent, and delivers
// the answers.
func (d *Dispatcher) locked(change func(fs *frames, out *deliveries)) {
	var r struct { // one allocation
		fs  frames
		out deliveries
	}
	d.mu.Lock()
	change(&r.fs, &r.out)
	d.pump(&r.fs, &r.out)
	d.mu.Unlock()
	r.out.deliver()
}

// build makes the wire form of the engine's items.
func (d *Dispatcher) build(list []*work.Item, results func([]*work.Result)) []item {
	n := uint64(len(list))
	if n == 0 {
		return nil
	}
	items := make([]item, n)
	id := d.lastID.Add(n) - n
	for i, it := range list {
		id++
		items[i] = item{
			id: id, kind: engineKinds[it.Kind], name: it.Name, size: it.Size(), work: toWire(id, it),
			asked: asked{kind: it.Kind, token: it.Token, results: results},
		}
	}
	return items
}

// admit takes an item in.
func (d *Dispatcher) admit(it *item, out *deliveries) {
	d.items[it.id] = it
	if it.byEngine() {
		d.byToken[it.asked.token] = it
	}
	d.place(it, out)
}

// cancel ends an item: at once if no app has it yet, else through its app.
func (d *Dispatcher) cancel(it *item, fs *frames, out *deliveries) {
	if it.cancelled {
		return
	}
	it.cancelled = true
	if it.app != nil {
		f := fs.of(it.app)
		f.Cancels = append(f.Cancels, it.id)
		return
	}
	queued := !d.unpark(it)
	d.abandon(it, out)
	if queued {
		d.bury(&d.lanes[it.kind])
	}
}

// Stop answers everything that waits as abandoned, and from then on everything
// that comes in. What apps run is answered by them, or when they are stopped.
func (d *Dispatcher) Stop() {
	var out deliveries
	d.mu.Lock()
	d.stopped = true
	for _, it := range d.items {
		if it.app == nil {
			d.abandon(it, &out)
		}
	}
	clear(d.parked)
	d.expiry = nil
	for k := range d.lanes {
		d.lanes[k].queue.Clear()
		d.lanes[k].dead = 0
	}
	if d.timer != nil {
		d.timer()
		d.timer = nil
	}
	d.mu.Unlock()
	out.deliver()
}
