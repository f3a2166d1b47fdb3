package taskhub

import (
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// codes are the errors that keep their meaning on the way to another host.
var codes = []struct {
	code transport.Code
	err  error
}{
	{transport.Code_NOT_FOUND, ErrNotFound},
	{transport.Code_INSTANCE_EXISTS, ErrInstanceExists},
	{transport.Code_TERMINAL, ErrTerminal},
	{transport.Code_INVALID_STATE, ErrInvalidState},
	{transport.Code_INVALID_ARGUMENT, ErrInvalidArgument},
	{transport.Code_PAYLOAD_TOO_LARGE, ErrPayloadTooLarge},
	{transport.Code_BUSY, ErrBusy},
	{transport.Code_NOT_OWNER, errRefused},
	{transport.Code_UNAVAILABLE, ErrUnavailable},
}

// remoteError is an error as the owner told it.
type remoteError struct {
	kind error
	text string
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func toResponse(a *answer, err error) *transport.Response {
	if err != nil {
		for _, c := range codes {
			if errors.Is(err, c.err) {
				return &transport.Response{Code: c.code, Text: err.Error()}
			}
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return &transport.Response{Code: transport.Code_UNAVAILABLE, Text: err.Error()}
		}
		return &transport.Response{Code: transport.Code_OTHER, Text: err.Error()}
	}
	r := &transport.Response{Replaced: a.replaced, Events: a.events, After: a.after, More: a.more, Purged: uint32(a.purged)}
	if a.instance != nil {
		r.Instance = toInstance(a.instance)
	}
	for _, i := range a.instances {
		r.Instances = append(r.Instances, toInstance(i))
	}
	return r
}

func fromResponse(r *transport.Response) (*answer, error) {
	if r.Code != transport.Code_OK {
		for _, c := range codes {
			if c.code == r.Code {
				return nil, &remoteError{kind: c.err, text: r.Text}
			}
		}
		return nil, fmt.Errorf("the owner of the partition: %s", r.Text)
	}
	a := &answer{replaced: r.Replaced, events: r.Events, after: r.After, more: r.More, purged: int(r.Purged)}
	if r.Instance != nil {
		a.instance = fromInstance(r.Instance)
	}
	for _, i := range r.Instances {
		a.instances = append(a.instances, fromInstance(i))
	}
	return a, nil
}

func toInstance(i *Instance) *transport.Instance {
	return &transport.Instance{
		Id: i.ID, Name: i.Name, Version: i.Version, Execution: i.Execution, Parent: i.Parent, Status: i.Status,
		Created: nanos(i.Created), Updated: nanos(i.Updated), Completed: nanos(i.Completed),
		Input: i.Input, Output: i.Output, CustomStatus: i.CustomStatus, Failure: i.Failure, Tags: i.Tags,
	}
}

func fromInstance(i *transport.Instance) *Instance {
	return &Instance{
		ID: i.Id, Name: i.Name, Version: i.Version, Execution: i.Execution, Parent: i.Parent, Status: i.Status,
		Created: clock(i.Created), Updated: clock(i.Updated), Completed: clock(i.Completed),
		Input: i.Input, Output: i.Output, CustomStatus: i.CustomStatus, Failure: i.Failure, Tags: i.Tags,
	}
}

func toQuery(q *Query, top int, after uint64) *transport.Query {
	w := &transport.Query{
		CreatedFrom: nanos(q.CreatedFrom), CreatedTo: nanos(q.CreatedTo), IdPrefix: q.IDPrefix,
		Payloads: q.Payloads, Top: uint32(top), After: after,
	}
	for _, s := range q.Statuses {
		w.Statuses = append(w.Statuses, int32(s))
	}
	return w
}

func fromQuery(w *transport.Query) Query {
	q := Query{
		CreatedFrom: clock(w.CreatedFrom), CreatedTo: clock(w.CreatedTo), IDPrefix: w.IdPrefix,
		Payloads: w.Payloads, Top: int(w.Top),
	}
	for _, s := range w.Statuses {
		q.Statuses = append(q.Statuses, Status(s))
	}
	return q
}
