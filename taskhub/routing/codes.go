package routing

import (
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// ErrUnavailable means that the request was not answered and may be sent again: the
// partition is moving, or the store cannot be reached.
var ErrUnavailable = errors.New("task hub is unavailable")

// errNotServing means that a request was not begun: the partition had stopped.
var errNotServing = errors.New("the partition does not serve here")

// codes are the errors that keep their meaning on the way to another host.
var codes = []struct {
	code transport.Code
	err  error
}{
	{transport.Code_NOT_FOUND, core.ErrNotFound},
	{transport.Code_INSTANCE_EXISTS, core.ErrInstanceExists},
	{transport.Code_TERMINAL, core.ErrTerminal},
	{transport.Code_INVALID_STATE, core.ErrInvalidState},
	{transport.Code_INVALID_ARGUMENT, core.ErrInvalidArgument},
	{transport.Code_PAYLOAD_TOO_LARGE, partition.ErrPayloadTooLarge},
	{transport.Code_BUSY, core.ErrBusy},
	{transport.Code_NOT_OWNER, errNotServing},
	{transport.Code_UNAVAILABLE, ErrUnavailable},
}

// remoteError is an error as the owner told it.
type remoteError struct {
	kind error
	text string
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// failed is the answer to a request that ended with err.
func failed(err error) *transport.Response {
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

// errorOf is the error that a failed answer stands for.
func errorOf(a *transport.Response) error {
	if a.Code == transport.Code_OK {
		return nil
	}
	for _, c := range codes {
		if c.code == a.Code {
			return &remoteError{kind: c.err, text: a.Text}
		}
	}
	return fmt.Errorf("the owner of the partition: %s", a.Text)
}
