package hosttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// Client speaks HTTP with a host. Base is asked at each request, so that a client may
// outlive a host and go on with the next.
type Client struct {
	Base   func() string
	Header http.Header // goes with each request; nil: none but Content-Type
}

// requestTimeout bounds one request; a host that is frozen does not answer.
const requestTimeout = 60 * time.Second

// lone keeps no connections: a host that is killed takes them with it, and a request on
// a dying connection could not be told from one that the host has seen.
var lone = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// api asks the host once.
func (c Client) api() *client.Client {
	return client.New(c.Base(), client.Options{HTTP: lone, Header: c.Header, Timeout: requestTimeout, RetryFor: -1})
}

// Do sends one request. body goes as it is when it is a string or bytes, as JSON
// otherwise; nil: none.
func (c Client) Do(ctx context.Context, method, path string, body any) (*client.Answer, error) {
	text, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return c.api().Do(ctx, client.Request{Method: method, Path: path, Body: text})
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(b), nil
	case []byte:
		return b, nil
	}
	return json.Marshal(body)
}

// Persist sends a request until a host answers it with anything but 503, or ctx ends. It
// has no request id: unclear says that an earlier attempt may have been carried out.
func (c Client) Persist(ctx context.Context, method, path string, body any) (a *client.Answer, unclear bool, err error) {
	unclear, err = c.persist(ctx, func(*client.Client) error {
		a, err = c.Do(ctx, method, path, body)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", client.ErrUnavailable, err)
		case a.Code == http.StatusServiceUnavailable:
			return fmt.Errorf("%w: %d %s", client.ErrUnavailable, a.Code, a.Body)
		}
		return nil
	})
	if err != nil {
		return nil, unclear, err
	}
	return a, unclear, nil
}

// persist asks until a host answers, with whatever error but ErrUnavailable, or ctx ends.
// Who starts and stops hosts does not wait for as long as they want to be left alone.
func (c Client) persist(ctx context.Context, ask func(*client.Client) error) (unclear bool, err error) {
	for {
		err := ask(c.api())
		if ctx.Err() == nil && !errors.Is(err, client.ErrUnavailable) {
			return unclear, err
		}
		if err == nil {
			return unclear, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			unclear = true
		}
		select {
		case <-ctx.Done():
			return unclear, fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// whole asks for all but the results of calls.
var whole = client.GetOptions{Input: true, History: true}

// Instance reads an instance with its history.
func (c Client) Instance(t testing.TB, id string) *client.Instance {
	t.Helper()
	return c.instance(t, id, whole)
}

func (c Client) instance(t testing.TB, id string, o client.GetOptions) *client.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), untilTimeout)
	defer cancel()
	in, err := c.get(ctx, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// Get reads an instance with its history, persisting until ctx ends. It fails with
// client.ErrNotFound.
func (c Client) Get(ctx context.Context, id string) (*client.Instance, error) {
	return c.get(ctx, id, whole)
}

func (c Client) get(ctx context.Context, id string, o client.GetOptions) (in *client.Instance, err error) {
	_, err = c.persist(ctx, func(api *client.Client) (err error) {
		in, err = api.Get(ctx, id, o)
		return err
	})
	return in, err
}

// List lists the instances that match, persisting until ctx ends.
func (c Client) List(ctx context.Context, q client.Query) (all []*client.Instance, err error) {
	_, err = c.persist(ctx, func(api *client.Client) error {
		all = nil
		for in, err := range api.List(ctx, q) {
			if err != nil {
				return err
			}
			all = append(all, in)
		}
		return nil
	})
	return all, err
}
