// Package dispatch is the work.Executor over the function apps: it takes the work
// items of the engine's partitions, sends each to the app that has its function
// while fewer than the host's limit run, and carries the answers back. Work for a
// function that no app has waits for one to appear.
package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// DefaultFunctionNotFoundTimeout is how long work waits for its function (F§14 O4).
const DefaultFunctionNotFoundTimeout = 5 * time.Minute

// Kind is a kind of durable function.
type Kind = work.Kind

// The kinds that the engine hands out.
const (
	Orchestrator = work.Orchestrator
	Activity     = work.ActivityFunction
	kinds        = work.Kinds
)

// App is one running version of a function app.
type App interface {
	// Send gives the app a frame without blocking: all of it, or nothing and false
	// when the app takes no more; SetFunctions will then show what replaces it.
	// It must not call the Dispatcher.
	Send(f *protocol.HostFrame) bool
}

// Options configures a Dispatcher.
type Options struct {
	// MaxOrchestrators and MaxActivities bound the items of each kind that are with
	// apps at one time; further ones wait in the order of their arrival. 0: no bound.
	MaxOrchestrators, MaxActivities int
	// FunctionNotFoundTimeout is how long an item waits for a function that no app
	// has before it is answered as failed; 0: at once. An app that is restarting
	// has its functions.
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
	byToken map[work.Token]*item // the activities among them, for cancels
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
	return d
}

// item is one work item from Submit to its answer.
type item struct {
	id       uint64
	kind     Kind
	token    work.Token
	name     string
	results  func([]*work.Result)
	episode  *protocol.OrchestratorWork // of an Orchestrator
	activity *protocol.ActivityWork     // of an Activity
	size     int                        // of its payloads in bytes

	app       App       // with which it is; nil: none
	deadline  time.Time // of waiting for its function; zero: it does not
	cancelled bool
}

// Submit implements work.Executor.
func (d *Dispatcher) Submit(b work.Batch, results func([]*work.Result)) {
	items := d.build(b, results)
	var out deliveries
	d.mu.Lock()
	for i := range items {
		it := &items[i]
		d.items[it.id] = it
		if it.kind == Activity {
			d.byToken[it.token] = it
		}
		d.place(it, &out)
	}
	var fs frames
	d.cancel(b.Cancels, &fs, &out)
	if len(b.Evict) > 0 {
		for _, app := range d.routes.orchestratorApps {
			fs.of(app).Evict = b.Evict
		}
	}
	d.pump(&fs, &out)
	d.mu.Unlock()
	out.deliver()
}

// build makes the wire form of the batch, before the lock is taken.
func (d *Dispatcher) build(b work.Batch, results func([]*work.Result)) []item {
	n := len(b.Items)
	if n == 0 {
		return nil
	}
	items := make([]item, n)
	id := d.lastID.Add(uint64(n)) - uint64(n)
	for i, it := range b.Items {
		id++
		items[i] = item{id: id, kind: it.Kind, token: it.Token, name: it.Name, results: results, size: it.Size()}
		if it.Kind == Orchestrator {
			items[i].episode = orchestration.Work(id, it)
		} else {
			items[i].activity = activity.Work(id, it)
		}
	}
	return items
}

// cancel ends the activities of the tokens: those that no app has yet at once,
// those that run through their apps.
func (d *Dispatcher) cancel(tokens []work.Token, fs *frames, out *deliveries) {
	for _, t := range tokens {
		it := d.byToken[t]
		if it == nil || it.cancelled {
			continue
		}
		it.cancelled = true
		if it.app != nil {
			f := fs.of(it.app)
			f.Cancels = append(f.Cancels, it.id)
			continue
		}
		d.unpark(it)
		d.abandon(it, false, out) // its lane skips it
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
			d.abandon(it, false, &out)
		}
	}
	clear(d.parked)
	d.expiry = nil
	for k := range d.lanes {
		d.lanes[k].queue, d.lanes[k].head = nil, 0
	}
	if d.timer != nil {
		d.timer()
		d.timer = nil
	}
	d.mu.Unlock()
	out.deliver()
}
