package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// call is a request of the typed methods: what they send, and what they want to hear.
type call struct {
	op     string // for errors
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
	want   []int
}

// change is a call that changes one instance, and so has a request id.
func change(ctx context.Context, op, method, path string, want int) call {
	return call{op: op, method: method, path: path, query: url.Values{}, want: []int{want},
		header: http.Header{requestIDHeader: {requestID(ctx)}}}
}

// send sends a call, again while that may help, and decodes the answer into result
// unless that is nil. Any code that is not wanted is an *Error, and so is an answer that
// cannot be read.
func (c *Client) send(ctx context.Context, r call, result any) (*Answer, error) {
	a, err := c.persist(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case result == nil:
		return a, nil
	}
	if err := json.Unmarshal(a.Body, result); err != nil {
		return nil, &Error{Op: r.op, Code: a.Code, Message: clip(a.Body), Err: err}
	}
	return a, nil
}

// Pauses between two attempts, when the host does not say how long.
const (
	leastPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// persist is send without the decoding.
func (c *Client) persist(ctx context.Context, r call) (*Answer, error) {
	began := time.Now()
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		a, err := c.attempt(ctx, r)
		if err == nil || ctx.Err() != nil || !worthRepeating(err) {
			return a, err
		}
		wait := pause
		var answered *Error
		if errors.As(err, &answered) {
			wait = max(wait, answered.RetryAfter)
		}
		wait += rand.N(wait/4 + 1) // whoever was refused together does not come back together
		if time.Since(began)+wait > c.opts.RetryFor {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w; last: %w", r.op, context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// attempt sends a call once.
func (c *Client) attempt(ctx context.Context, r call) (*Answer, error) {
	a, err := c.Do(ctx, Request{Method: r.method, Path: c.target(r), Header: r.header, Body: r.body})
	switch {
	case errors.Is(err, ErrInvalidArgument):
		return nil, fmt.Errorf("%s: %w", r.op, err)
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", r.op, context.Cause(ctx))
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", r.op, ErrUnavailable, err)
	case !slices.Contains(r.want, a.Code):
		return nil, failure(r.op, a)
	}
	return a, nil
}

// target is path and query of a call.
func (c *Client) target(r call) string {
	query := url.Values{}
	maps.Copy(query, r.query)
	if c.opts.TaskHub != "" {
		query.Set("taskHub", c.opts.TaskHub)
	}
	if len(query) == 0 {
		return r.path
	}
	return r.path + "?" + query.Encode()
}

// worthRepeating reports whether another attempt may have an answer. Where nobody
// listens, that is said at once: most often the URL is wrong.
func worthRepeating(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBusy)
}

// encode is the JSON of a payload; nil is none.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return v, nil
	}
	return json.Marshal(v)
}
