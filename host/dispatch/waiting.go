package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
)

// parkKey is a function as it is looked up.
type parkKey struct {
	kind Kind
	name string // lower case
}

// parked is the items that wait for one function.
type parked struct {
	name  string // as the first of them spells it
	items []*item
	since time.Time
}

// expiring is an item that waits with a deadline. The timeout is the same for all,
// so that appending keeps the order; entries of items that have moved on are
// skipped.
type expiring struct {
	it       *item
	deadline time.Time
}

// Waiting is what waits for one function.
type Waiting struct {
	Kind  Kind
	Name  string
	Items int
	Since time.Time // when the first of them began to
	// App is the app that has the function and is restarting; empty: none has it,
	// and the items fail at Deadline.
	App      string
	Deadline time.Time // of the first of them; zero: none
}

// park keeps an item until its function is there.
func (d *Dispatcher) park(it *item, out *deliveries) {
	if d.stopped {
		d.abandon(it, out)
		return
	}
	if d.routes.find(it.kind, it.name) == nil && d.patience(it.kind) <= 0 {
		d.refuse(it, d.notFound(it), out)
		return
	}
	d.parkRefused(it, out)
}

// patience is how long items of a kind wait for a function that no app has: a caller of
// Invoke is told at once.
func (d *Dispatcher) patience(k Kind) time.Duration {
	if k == Triggered {
		return 0
	}
	return d.opt.FunctionNotFoundTimeout
}

// parkRefused parks without failing at once: the function's app has just gone,
// which is no verdict on the function.
func (d *Dispatcher) parkRefused(it *item, out *deliveries) {
	if d.stopped || it.cancelled {
		d.abandon(it, out)
		return
	}
	key := parkKey{it.kind, strings.ToLower(it.name)}
	p := d.parked[key]
	if p == nil {
		p = &parked{name: it.name, since: d.opt.Now()}
		d.parked[key] = p
	}
	p.items = append(p.items, it)
	if it.kind != Triggered && d.routes.find(it.kind, it.name) == nil {
		d.expect(it)
	}
}

// expect gives a parked item its deadline.
func (d *Dispatcher) expect(it *item) {
	it.deadline = d.opt.Now().Add(d.opt.FunctionNotFoundTimeout)
	d.expiry = append(d.expiry, expiring{it, it.deadline})
	d.arm()
}

// arm sets the timer for the first deadline, unless it is set.
func (d *Dispatcher) arm() {
	if d.timer != nil || len(d.expiry) == 0 {
		return
	}
	d.timer = d.opt.AfterFunc(max(0, d.expiry[0].deadline.Sub(d.opt.Now())), d.expire)
}

// expire fails the items whose time is up.
func (d *Dispatcher) expire() {
	var out deliveries
	d.mu.Lock()
	d.timer = nil
	now := d.opt.Now()
	for len(d.expiry) > 0 {
		e := d.expiry[0]
		waits := d.items[e.it.id] == e.it && e.it.deadline.Equal(e.deadline)
		if waits && now.Before(e.deadline) {
			break
		}
		d.expiry = d.expiry[1:]
		if waits {
			d.unpark(e.it)
			d.refuse(e.it, d.notFound(e.it), &out)
		}
	}
	d.arm()
	d.mu.Unlock()
	out.deliver()
}

// unpark takes one item out of the waiting ones; false: it is not there.
func (d *Dispatcher) unpark(it *item) bool {
	key := parkKey{it.kind, strings.ToLower(it.name)}
	p := d.parked[key]
	if p == nil {
		return false
	}
	it.deadline = time.Time{}
	i := slices.Index(p.items, it)
	switch {
	case i < 0:
		return false
	case i == 0: // the usual one, as deadlines come in order: nothing is moved
		p.items = p.items[1:]
	default:
		p.items = slices.Delete(p.items, i, i+1)
	}
	if len(p.items) == 0 {
		delete(d.parked, key)
	}
	return true
}

// recheck looks at the waiting items after the functions changed: in the order of
// their arrival they go where their function is now.
func (d *Dispatcher) recheck(out *deliveries) {
	var ready []*item
	for key, p := range d.parked {
		r := d.routes.find(key.kind, key.name)
		switch {
		case r.available():
			ready = append(ready, p.items...)
			delete(d.parked, key)
			continue
		case r != nil: // restarting: no deadline
			for _, it := range p.items {
				it.deadline = time.Time{}
			}
		case d.patience(key.kind) <= 0:
			delete(d.parked, key)
			for _, it := range p.items {
				d.refuse(it, d.notFound(it), out)
			}
		default:
			for _, it := range p.items {
				if it.deadline.IsZero() {
					d.expect(it)
				}
			}
		}
	}
	slices.SortFunc(ready, func(a, b *item) int { return int(int64(a.id - b.id)) })
	for _, it := range ready {
		it.deadline = time.Time{}
		d.lanes[it.kind].queue.Push(it)
	}
}

// notFound is the answer of the reference for a function that is not there (F§1.1 O4).
func (d *Dispatcher) notFound(it *item) refusal {
	known := fmt.Sprintf("no %s is registered", it.kind)
	if names := d.routes.names(it.kind); len(names) > 0 {
		known = "known are " + strings.Join(names, ", ")
	}
	return refusal{ErrNoFunction, &history.TaskFailureDetails{
		ErrorType:      notFoundTypes[it.kind],
		ErrorMessage:   fmt.Sprintf("no function app has the %s %q: %s", it.kind, it.name, known),
		IsNonRetriable: true,
	}}
}

// Waiting lists the functions for which work waits because no running app has
// them, sorted by kind and name.
func (d *Dispatcher) Waiting() []Waiting {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Waiting, 0, len(d.parked))
	for key, p := range d.parked {
		w := Waiting{Kind: key.kind, Name: p.name, Items: len(p.items), Since: p.since, Deadline: p.items[0].deadline}
		if r := d.routes.find(key.kind, key.name); r != nil {
			w.App = r.App
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Waiting) int { return compareFunctions(a.Kind, a.Name, b.Kind, b.Name) })
	return out
}
