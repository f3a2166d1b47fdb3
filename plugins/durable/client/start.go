package client

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// StartRequest says what to start.
type StartRequest struct {
	Name string // orchestrator
	// ID has 1 to 256 characters, no / \ # ? and no control characters, and does not
	// begin with @; empty: the hub chooses.
	ID      string
	Input   any    // JSON by encoding/json, a json.RawMessage as it is; nil: none
	Version string // empty: unversioned
}

// Start starts an instance and returns its id: ErrInstanceExists when that belongs to an
// instance that has not ended, ErrInvalidArgument, ErrPayloadTooLarge. One that has ended
// is replaced.
func (c *Client) Start(ctx context.Context, r StartRequest) (string, error) {
	op := "start " + r.Name
	if r.ID != "" {
		op += " as " + r.ID
	}
	body, err := encode(r.Input)
	if err != nil {
		return "", fmt.Errorf("%s: %w: input: %w", op, ErrInvalidArgument, err)
	}
	s := change(ctx, op, http.MethodPost, StartPath(r.Name, r.ID), http.StatusAccepted)
	s.body = body
	if r.Version != "" {
		s.query.Set("version", r.Version)
	}
	if r.ID != "" { // the answer says nothing new
		_, err = c.send(ctx, s, nil)
		return r.ID, err
	}
	return c.started(ctx, s)
}

// Restart starts what an instance was started with once more: the same orchestrator,
// version, input and tags. It returns the id of the new instance, which is a new one
// unless keepID is set. ErrInvalidArgument when there is no such instance,
// ErrInstanceExists when the same id is to be kept and the instance has not ended.
func (c *Client) Restart(ctx context.Context, id string, keepID bool) (string, error) {
	s := change(ctx, "restart "+id, http.MethodPost, InstancePath(id, "restart"), http.StatusAccepted)
	s.query.Set("restartWithNewInstanceId", strconv.FormatBool(!keepID))
	return c.started(ctx, s)
}

// started returns the id that the answer to a start names.
func (c *Client) started(ctx context.Context, s call) (string, error) {
	var links struct {
		ID string `json:"id"`
	}
	_, err := c.send(ctx, s, &links)
	return links.ID, err
}
