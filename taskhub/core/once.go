package core

import (
	"errors"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// RequestMemory is how long a partition remembers, at least, what it answered to a
// request with an id (docs/decisions/0007).
const RequestMemory = 10 * time.Minute

// Rows of answered requests belong to spans, numbered in order, so that they are
// forgotten by one deletion of a range, whatever their number. An owner begins a new span
// after requestSpan by its own clock. A row can be forgotten when RequestMemory is over
// since the end of its span, which is when spansKept others have ended after it.
//
// Nothing here compares the clocks of two owners: the next one's may be minutes ahead,
// and just then clients repeat what was not answered.
const (
	requestSpan = 5 * time.Minute
	spansKept   = uint64(RequestMemory / requestSpan)
	// longestSpan bounds a span of owners that follow each other so fast that none sees
	// the end of one.
	longestSpan = time.Hour
)

// Request names what a client asks for, so that it takes effect once, however often it
// arrives.
type Request struct {
	ID       string // the client's, see CheckRequestID
	Op       string // what is asked, such as "raise"
	Name     string // of what is raised or started
	Instance string
}

// what is the operation as rows keep it.
func (r *Request) what() string {
	if r.Name == "" {
		return r.Op
	}
	return r.Op + " " + r.Name
}

// Answer is what a request was answered.
type Answer struct {
	Replaced bool  // of a start: a finished instance had the id
	Err      error // nil, or one of the errors that requests are answered with
}

// currentRequest is a request with an id that is being carried out for the first time.
type currentRequest struct {
	Request
	now int64
}

// answered is a row that the state may not show yet.
type answered struct {
	row   RequestRow
	batch uint64 // that holds it
}

// requestErrors are the errors of answers by the number under which rows keep them. The
// numbers are part of the format; 0 is no error.
var requestErrors = []error{nil, ErrNotFound, ErrInstanceExists, ErrTerminal, ErrInvalidState, ErrInvalidArgument}

// pastError is an error that was remembered: its text and its kind are what they were.
type pastError struct {
	text string
	kind error
}

func (e *pastError) Error() string { return e.text }
func (e *pastError) Unwrap() error { return e.kind }

// Once carries out a request with an id. act makes the one step that r stands for. If it
// was made in the last RequestMemory, it is not made again and again gets its answer,
// after the commit that holds both. The same id for something else is
// ErrInvalidArgument, which is not remembered.
//
// Errors are remembered as well: a copy of a request that was refused must not take
// effect after its sender has been told so. Only ErrBusy is not.
func (c *Core) Once(now int64, r Request, again func(Answer), act func()) {
	if c.err != nil {
		return
	}
	c.forget(now)
	row := c.recall(now, r.ID)
	switch {
	case c.err != nil:
	case row == nil:
		c.current = &currentRequest{Request: r, now: now}
		act()
		c.current = nil
	case row.Op != r.what() || row.Instance != r.Instance:
		err := fmt.Errorf("%w: request id %q was used for %q of %q, not for %q of %q",
			ErrInvalidArgument, r.ID, row.Op, row.Instance, r.what(), r.Instance)
		c.reply(func() { again(Answer{Err: err}) })
	default:
		a := row.answer()
		c.reply(func() { again(a) })
	}
}

// decided says what the present step answers. It is remembered if it was asked for with
// an id: the row is in the batch that holds the effect.
func (c *Core) decided(replaced bool, err error) {
	if c.current == nil || c.err != nil {
		return
	}
	r := c.current
	c.current = nil
	if errors.Is(err, ErrBusy) {
		return // not a decision: it may be asked again
	}
	a := &answered{batch: c.sealed + 1}
	a.row = RequestRow{Op: r.what(), Instance: r.Instance, At: r.now, Replaced: replaced}
	if err != nil {
		a.row.Text = err.Error()
		for n, kind := range requestErrors {
			if n > 0 && errors.Is(err, kind) {
				a.row.Error = uint32(n)
			}
		}
	}
	b, err := a.row.MarshalVT()
	if err != nil {
		c.fail(fmt.Errorf("request %q: %w", r.ID, err))
		return
	}
	m := &c.meta
	if m.RequestsFrom == 0 {
		m.RequestsSpan++
		m.RequestsOpened, c.spanStarted = r.now, r.now
		m.RequestsFrom, c.metaDirty = m.RequestsSpan, true
	}
	if m.RequestsTo != m.RequestsSpan {
		m.RequestsTo, c.metaDirty = m.RequestsSpan, true
	}
	c.needed = true
	if !planted.Is(planted.ForgetAnswers) {
		c.batch.Put(requestKey(m.RequestsSpan, r.ID), b)
	}
	if c.answered == nil {
		c.answered = map[string]*answered{}
	}
	c.answered[r.ID] = a
}

func (r *RequestRow) answer() Answer {
	a := Answer{Replaced: r.Replaced}
	if r.Text != "" {
		past := &pastError{text: r.Text}
		if int(r.Error) < len(requestErrors) {
			past.kind = requestErrors[r.Error]
		}
		a.Err = past
	}
	return a
}

// recall finds what a request was answered, or nil.
func (c *Core) recall(now int64, id string) *RequestRow {
	if a := c.answered[id]; a != nil {
		return c.unlessOld(now, &a.row)
	}
	m := &c.meta
	if m.RequestsFrom == 0 {
		return nil
	}
	for span := m.RequestsTo; span >= m.RequestsFrom; span-- { // at most spansKept + 1
		v, err := c.state.Get(requestKey(span, id))
		if err != nil {
			c.fail(err)
			return nil
		}
		if v == nil {
			continue
		}
		row := &RequestRow{}
		if err := row.UnmarshalVT(v); err != nil {
			c.fail(fmt.Errorf("request %q: %w", id, err))
			return nil
		}
		return c.unlessOld(now, row)
	}
	return nil
}

// unlessOld is r, or nil when it does not count any more. What an owner before answered
// counts as answered when this one began.
func (c *Core) unlessOld(now int64, r *RequestRow) *RequestRow {
	if now-max(r.At, c.loaded) > int64(RequestMemory) {
		return nil
	}
	return r
}

// forget begins a new span when it is time, and removes those that are too old: one
// deletion, which joins whatever commit comes next and causes none.
func (c *Core) forget(now int64) {
	m := &c.meta
	passed := (now - c.spanStarted) / int64(requestSpan)
	if m.RequestsFrom == 0 || passed <= 0 {
		return
	}
	m.RequestsSpan += min(uint64(passed), spansKept+1)
	m.RequestsOpened, c.spanStarted, c.metaDirty = now, now, true
	lowest := m.RequestsSpan - min(m.RequestsSpan, spansKept)
	if m.RequestsFrom >= lowest {
		return
	}
	c.batch.DeleteRange(requestKey(m.RequestsFrom, ""), requestKey(lowest, ""))
	if m.RequestsFrom = lowest; m.RequestsTo < lowest {
		m.RequestsFrom = 0 // none is left
	}
}

// loadRequests begins the count of the present span anew.
func (c *Core) loadRequests(now int64) {
	c.loaded, c.spanStarted = now, now
	if open := time.Duration(now - c.meta.RequestsOpened); open.Abs() > longestSpan {
		c.spanStarted -= int64(requestSpan)
	}
}
