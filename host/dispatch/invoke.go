package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Errors of Invoke, beside the context's and a *FunctionError.
var (
	// ErrNoFunction means that no function app has the function.
	ErrNoFunction = errors.New("no such function")
	// ErrTooLarge means that the payload does not fit into a message to an app.
	ErrTooLarge = errors.New("payload is too large")
	// ErrAppGone means that the function app ended before it answered: nobody knows how
	// far the call got.
	ErrAppGone = errors.New("function app ended before it answered")
	// ErrStopped means that the Dispatcher has stopped: no app has begun the call.
	ErrStopped = errors.New("no function is called any more")
)

// FunctionError means that the function ran and failed.
type FunctionError struct {
	Function string
	Details  *history.TaskFailureDetails
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("function %q: %s: %s", e.Function, e.Details.GetErrorType(), e.Details.GetErrorMessage())
}

// call is one Invoke.
type call struct {
	function string
	done     chan struct{}
	result   []byte
	err      error
}

// Invoke calls a triggered function with a payload, which is one JSON value or empty, and
// waits for its result, which is the same. It waits for a free place, and for an app that
// is restarting, but not for a function that no app has. When ctx ends the function's
// context is cancelled, and what it does then is nobody's business: the error is ctx's
// cause. It never calls twice. Errors: see above.
func (d *Dispatcher) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := &call{function: function, done: make(chan struct{})}
	w := &protocol.Invocation{Work: d.lastID.Add(1), Function: function, Payload: payload}
	it := &item{id: w.Work, kind: Triggered, name: function, size: len(payload), work: w, call: c}
	d.locked(func(_ *frames, out *deliveries) { d.admit(it, out) })
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
	}
	d.locked(func(fs *frames, out *deliveries) {
		if d.items[it.id] == it {
			d.cancel(it, fs, out)
		}
	})
	return nil, context.Cause(ctx)
}

// end answers the call. Under the dispatcher's lock.
func (c *call) end(e ending) {
	defer close(c.done)
	switch r, _ := e.answer.(*protocol.InvocationResult); {
	case e.outcome != work.Completed && e.begun:
		c.err = ErrAppGone
	case e.outcome != work.Completed:
		c.err = ErrStopped
	case e.refused != nil:
		c.err = fmt.Errorf("%w: %s", e.refused.err, e.refused.details.GetErrorMessage())
	case r.GetFailure() != nil:
		c.err = &FunctionError{Function: c.function, Details: r.Failure}
	default:
		c.result = r.GetResult()
	}
}
