package routing

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// What a caller can act on keeps its meaning and its text on the way over another host.
func TestErrorsTravel(t *testing.T) {
	for _, kind := range []error{
		core.ErrNotFound, core.ErrInstanceExists, core.ErrTerminal, core.ErrInvalidState, core.ErrInvalidArgument,
		core.ErrBusy, partition.ErrPayloadTooLarge, ErrUnavailable, errNotServing,
	} {
		err := fmt.Errorf("instance x: %w", kind)
		if got := errorOf(failed(err)); !errors.Is(got, kind) || got.Error() != err.Error() {
			t.Errorf("%v arrives as %v", err, got)
		}
	}
	if got := errorOf(failed(context.DeadlineExceeded)); !errors.Is(got, ErrUnavailable) {
		t.Errorf("a request that was given up arrives as %v", got)
	}
	if got := errorOf(failed(errors.New("a bug"))); got == nil || errors.Is(got, ErrUnavailable) {
		t.Errorf("an unknown error arrives as %v", got)
	}
	if err := errorOf(&transport.Response{}); err != nil {
		t.Errorf("an answer is the error %v", err)
	}
}

// Only what does no harm twice is sent again without an id.
func TestRepeatable(t *testing.T) {
	for _, tt := range []struct {
		name string
		q    *transport.Request
		want bool
	}{
		{"get", &transport.Request{Op: &transport.Request_Get{}}, true},
		{"wait", &transport.Request{Op: &transport.Request_Wait{}}, true},
		{"history", &transport.Request{Op: &transport.Request_History{}}, true},
		{"list", &transport.Request{Op: &transport.Request_List{}}, true},
		{"purge of a portion", &transport.Request{Op: &transport.Request_PurgeSome{}}, true},
		{"start", &transport.Request{Op: &transport.Request_Start{}}, false},
		{"start with an id", &transport.Request{RequestId: "r", Op: &transport.Request_Start{}}, true},
		{"event", &transport.Request{Op: &transport.Request_RaiseEvent{}}, false},
		{"purge of one", &transport.Request{Op: &transport.Request_Purge{}}, false},
	} {
		if got := repeatable(tt.q); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
