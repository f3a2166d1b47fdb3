// Package client asks durafunc hosts over their HTTP management API
// (docs/http-api.md) to start instances, read them and change them. It is for programs
// that are no function app; code inside an app has durable.HostClient. It links the
// standard library alone.
//
//	c := client.New("http://localhost:7071", client.Options{})
//	id, err := c.Start(ctx, client.StartRequest{Name: "Order", Input: order})
//	...
//	in, err := c.Wait(ctx, id, client.GetOptions{})
//	if err == nil && in.Status == client.StatusCompleted {
//		err = json.Unmarshal(in.Output, &receipt)
//	}
//
// # Errors
//
// A method without error has a committed answer. Errors that a caller can act on are
// ErrNotFound, ErrInstanceExists, ErrInvalidState, ErrTerminal, ErrInvalidArgument,
// ErrPayloadTooLarge, ErrNotImplemented, ErrUnauthorized, ErrBusy, ErrUnavailable and
// ErrInternal, to be found with errors.Is. An *Error has the status code and the host's
// words. When the context ends first, the error is the context's cause.
//
// # Repeating a request
//
// Hosts refuse requests while they are overloaded (429), and cannot answer while a part
// of the task hub changes hands (503); a connection may break before the answer is
// there. Methods send the request again then, for as long as Options.RetryFor says and
// not before the host wants it (Retry-After). That does no harm: a request that changes
// one instance has a request id (WithRequestID), and takes effect once however often
// it is sent within ten minutes.
package client
