package durable

import (
	"fmt"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/history"
)

// WaitForExternalEvent waits for an event of that name (case does not matter) and
// returns its data. Events that nobody waits for are kept in the order of their
// arrival; each event goes to one wait, and of several live waits to the first
// one made. See WhenAny for waits that lost.
func WaitForExternalEvent[T any](ctx *OrchestrationContext, name string, opts ...WaitOption) Task[T] {
	x := ctx.x
	f := &future{x: x, kind: kindEvent, id: -1, name: name, live: true, timeout: -1, limit: -1}
	for _, o := range opts {
		o.applyWait(f)
	}
	x.waitForEvent(f)
	return Task[T]{f: f}
}

// mailbox holds the waits for one event name, or the events without a wait.
type mailbox struct {
	waiters []*future // live ones, by ticket
	events  []raised  // in order of arrival; empty while there are waiters
}

// raised is an event with its place among all events of the execution.
type raised struct {
	event *history.HistoryEvent
	order uint64
}

func (x *execution) mailbox(name string) *mailbox {
	key := strings.ToLower(name)
	m := x.mailboxes[key]
	if m == nil {
		m = &mailbox{}
		if x.mailboxes == nil {
			x.mailboxes = make(map[string]*mailbox)
		}
		x.mailboxes[key] = m
	}
	return m
}

// waitForEvent begins a new wait.
func (x *execution) waitForEvent(f *future) {
	if err := x.enter(); err != nil {
		f.reject(err)
		return
	}
	if f.name == "" {
		f.reject(invalid("wait for an event without a name"))
		return
	}
	x.tickets++
	f.ticket = x.tickets
	if len(x.mailbox(f.name).events) == 0 {
		if f.limit == 0 {
			f.finish(nil, f.timedOut())
			return
		}
		if f.limit > 0 { // before the wait is registered (F§1.9 E5)
			f.timeout = x.startTimer(x.now.Add(f.limit), (*eventTimeout)(f))
		}
	}
	x.register(f)
}

// register gives f the oldest event of its name, or its place among the waiters.
func (x *execution) register(f *future) {
	m := x.mailbox(f.name)
	if len(m.events) > 0 {
		e := m.events[0].event
		m.events[0].event = nil
		m.events = m.events[1:]
		x.stopTimeout(f)
		f.finish(e.GetEventRaised().GetInput(), nil)
		return
	}
	i, _ := slices.BinarySearchFunc(m.waiters, f.ticket, func(w *future, t uint64) int { return int(w.ticket) - int(t) })
	m.waiters = slices.Insert(m.waiters, i, f)
}

func (x *execution) unregister(f *future) {
	m := x.mailbox(f.name)
	if i := slices.Index(m.waiters, f); i >= 0 {
		m.waiters = slices.Delete(m.waiters, i, i+1)
	}
}

// raise takes in an event. One that arrives behind the decision to continue as new
// belongs to the next execution, which only the carried events reach (F§1.10 N3).
func (x *execution) raise(e *history.HistoryEvent) {
	switch {
	case !x.completed:
		x.deliver(e)
	case x.end.GetOrchestrationStatus() == history.ContinuedAsNew:
		x.end.CarryoverEvents = append(x.end.CarryoverEvents, e)
	}
}

// deliver gives an event to the first live wait, or keeps it.
func (x *execution) deliver(e *history.HistoryEvent) {
	r := e.GetEventRaised()
	m := x.mailbox(r.GetName())
	if len(m.waiters) == 0 {
		x.arrivals++
		m.events = append(m.events, raised{e, x.arrivals})
		return
	}
	f := m.waiters[0]
	m.waiters = slices.Delete(m.waiters, 0, 1)
	x.stopTimeout(f)
	f.finish(r.GetInput(), nil)
}

// stopTimeout cancels the timer of a wait that has ended otherwise.
func (x *execution) stopTimeout(f *future) {
	if f.timeout >= 0 {
		x.cancelTimer(f.timeout)
		f.timeout = -1
	}
}

// unconsumed are the events that no wait took, in order of arrival.
func (x *execution) unconsumed() []*history.HistoryEvent {
	var all []raised
	for _, m := range x.mailboxes {
		all = append(all, m.events...)
	}
	slices.SortFunc(all, func(a, b raised) int { return int(a.order) - int(b.order) })
	events := make([]*history.HistoryEvent, len(all))
	for i, r := range all {
		events[i] = r.event
	}
	return events
}

// eventTimeout is a wait whose timer fires.
type eventTimeout future

func (t *eventTimeout) settle(x *execution, _ outcome) {
	f := (*future)(t)
	f.timeout = -1
	x.unregister(f)
	f.finish(nil, f.timedOut())
}

func (f *future) timedOut() error {
	return fmt.Errorf("event %q did not arrive within %s: %w", f.name, f.limit, ErrTimeout)
}
