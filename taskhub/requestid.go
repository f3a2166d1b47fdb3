package taskhub

import (
	"context"

	"github.com/durafunc/durafunc/taskhub/core"
)

type requestIDKey struct{}

// WithRequestID names the request that is made with the context it returns: Start,
// RaiseEvent, Terminate, Suspend, Resume or Purge. A request that carries an id, of 1 to
// 128 characters, takes effect once in ten minutes, however often it is sent: the first
// answer is given again, an error as well as a result, whoever owns the partition
// meanwhile. So one whose answer was lost can be sent again.
//
// An id belongs to one operation on one instance. For another one it fails with
// ErrInvalidArgument, as far as the instances are of the same partition. A Start without
// an instance id derives it from the request id.
//
// An empty id is none.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id of the request that is made with ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// requestID is RequestID, checked.
func requestID(ctx context.Context) (string, error) {
	id := RequestID(ctx)
	if id == "" {
		return "", nil
	}
	return id, core.CheckRequestID(id)
}
