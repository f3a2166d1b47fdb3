package client

import (
	"context"
	"fmt"
	"net/http"
)

// RaiseEvent delivers an external event: ErrNotFound, ErrTerminal, ErrInvalidArgument,
// ErrPayloadTooLarge. data is JSON by encoding/json, a json.RawMessage as it is; nil is
// null.
func (c *Client) RaiseEvent(ctx context.Context, id, event string, data any) error {
	op := "raise " + event + " at " + id
	body, err := encode(data)
	if err != nil {
		return fmt.Errorf("%s: %w: data: %w", op, ErrInvalidArgument, err)
	}
	if body == nil {
		body = []byte("null") // the API wants a value
	}
	r := change(ctx, op, http.MethodPost, InstancePath(id, "raiseEvent", event), http.StatusAccepted)
	r.body = body
	_, err = c.send(ctx, r, nil)
	return err
}

// Terminate ends an instance, and its children when recursive: ErrNotFound, ErrTerminal.
// An empty reason is none.
func (c *Client) Terminate(ctx context.Context, id, reason string, recursive bool) error {
	r := operation(ctx, id, "terminate", reason)
	if recursive {
		r.query.Set("recursive", "true")
	}
	_, err := c.send(ctx, r, nil)
	return err
}

// Suspend holds an instance: ErrNotFound, ErrTerminal, ErrInvalidState when it is held
// already. An empty reason is none.
func (c *Client) Suspend(ctx context.Context, id, reason string) error {
	_, err := c.send(ctx, operation(ctx, id, "suspend", reason), nil)
	return err
}

// Resume releases an instance: ErrNotFound, ErrTerminal, ErrInvalidState when it is not
// held. An empty reason is none.
func (c *Client) Resume(ctx context.Context, id, reason string) error {
	_, err := c.send(ctx, operation(ctx, id, "resume", reason), nil)
	return err
}

// operation is a change that takes nothing but a reason.
func operation(ctx context.Context, id, verb, reason string) call {
	r := change(ctx, verb+" "+id, http.MethodPost, InstancePath(id, verb), http.StatusAccepted)
	if reason != "" {
		r.query.Set("reason", reason)
	}
	return r
}

// Purge removes one finished instance: ErrNotFound, ErrInvalidState while it runs.
func (c *Client) Purge(ctx context.Context, id string) error {
	_, err := c.send(ctx, change(ctx, "purge "+id, http.MethodDelete, InstancePath(id), http.StatusOK), nil)
	return err
}
