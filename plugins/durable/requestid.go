package durable

import "context"

type requestIDKey struct{}

// WithRequestID names the request that is made with the context it returns: Start,
// RaiseEvent, Terminate or Purge of a HostClient. Within ten minutes a request with the
// same id takes effect once, however often it is made, and gets the first answer again.
// An activity may run twice; one that derives the id from its IdempotencyKey raises its
// event once:
//
//	ctx = durable.WithRequestID(ctx, durable.Info(ctx).IdempotencyKey()+" approve")
//
// An id has 1 to 128 characters and belongs to one operation on one instance; for
// another one it fails with ErrInvalidArgument. An empty id is none.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
