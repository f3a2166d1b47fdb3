package dispatch

import (
	"math"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/work"
)

// Has implements work.Local. A Dispatcher that has stopped has nothing.
func (d *Dispatcher) Has(f work.Function) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.stopped && d.routes.find(engineKinds[f.Kind], f.Name) != nil
}

// Free implements work.Local: the free places less the items that queue for one.
func (d *Dispatcher) Free(k work.Kind) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.lanes[engineKinds[k]]
	switch {
	case d.stopped:
		return 0
	case l.limit <= 0:
		return math.MaxInt
	}
	return max(0, l.limit-l.running-l.queue.Len())
}

// Offers implements work.Local.
func (d *Dispatcher) Offers() []work.Function {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return nil
	}
	var out []work.Function
	for k := range work.Kinds {
		for _, name := range d.routes.names(engineKinds[k]) {
			out = append(out, work.Function{Kind: k, Name: name})
		}
	}
	return out
}

// Yield implements work.Local.
func (d *Dispatcher) Yield(elsewhere func(work.Function) bool) {
	var out deliveries
	d.mu.Lock()
	var given []*item
	for key, p := range d.parked {
		first := p.items[0] // all are for one function
		if first.call == nil && d.routes.find(key.kind, key.name) == nil &&
			elsewhere(work.Function{Kind: first.asked.kind, Name: p.name}) {
			given = append(given, p.items...)
			delete(d.parked, key)
		}
	}
	slices.SortFunc(given, func(a, b *item) int { return int(int64(a.id - b.id)) })
	for _, it := range given {
		d.abandon(it, &out)
	}
	d.mu.Unlock()
	out.deliver()
}

// compareFunctions orders functions by kind, then by name.
func compareFunctions(aKind Kind, aName string, bKind Kind, bName string) int {
	if aKind != bKind {
		return int(aKind - bKind)
	}
	return strings.Compare(strings.ToLower(aName), strings.ToLower(bName))
}
