package client

import (
	"context"
	"crypto/rand"
)

// requestIDHeader carries the request id.
const requestIDHeader = "Idempotency-Key"

type requestIDKey struct{}

// WithRequestID names the request that is made with the context it returns: Start,
// Restart, RaiseEvent, Terminate, Suspend, Resume or Purge. Within ten minutes a request
// with the same id takes effect once, however often it is made, also over other hosts
// and by other processes, and gets the first answer again. Without it each call has a
// random id, which its own retries share.
//
// An id has 1 to 128 characters and belongs to one operation on one instance; for
// another one it fails with ErrInvalidArgument. An empty id is none.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	if id, _ := ctx.Value(requestIDKey{}).(string); id != "" {
		return id
	}
	return rand.Text()
}
