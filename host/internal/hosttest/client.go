package hosttest

import (
	"context"
	"crypto/rand"
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

// Expect sends a request, again while the hub is unavailable, and fails the test unless
// the answer has the code. A request that changes something has an Idempotency-Key: the
// answer to a repetition is that to the first attempt, which may have been carried out.
func (c Client) Expect(t testing.TB, code int, method, path string, body any) *client.Answer {
	t.Helper()
	if method != http.MethodGet {
		c.Header = c.Header.Clone()
		if c.Header == nil {
			c.Header = http.Header{}
		}
		c.Header.Set("Idempotency-Key", rand.Text())
	}
	ctx, cancel := context.WithTimeout(t.Context(), untilTimeout)
	defer cancel()
	a, _, err := c.Persist(ctx, method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Code != code {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.Code, code, clip(a.Body))
	}
	return a
}

func clip(b []byte) []byte {
	const most = 2000
	if len(b) > most {
		return append(b[:most:most], "..."...)
	}
	return b
}

// StartInstance starts an orchestration and fails the test unless that is acknowledged.
func (c Client) StartInstance(t testing.TB, name, id string, input any) {
	t.Helper()
	c.Expect(t, http.StatusAccepted, http.MethodPost, client.StartPath(name, id), input)
}

// Raise raises an event and fails the test unless that is acknowledged.
func (c Client) Raise(t testing.TB, id, event string, data any) {
	t.Helper()
	if data == nil {
		data = "null"
	}
	c.Expect(t, http.StatusAccepted, http.MethodPost, client.InstancePath(id, "raiseEvent", event), data)
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

// untilTimeout bounds what a test waits for. It is generous: the machine may be busy, or
// stand still for a while.
const untilTimeout = 2 * time.Minute

// Pauses between two looks grow: who waits for long must not take the processor from the
// hosts that it waits for.
const (
	leastPause = 5 * time.Millisecond
	mostPause  = 100 * time.Millisecond
)

// Until asks cond again and again until it holds; what says in words what is waited for.
// Real processes give no other event.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	pause := leastPause
	for deadline := time.Now().Add(untilTimeout); !cond(); pause = min(pause*5/4, mostPause) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", untilTimeout, what)
		}
		time.Sleep(pause)
	}
}

// UntilStatus waits until an instance has a status and returns it: with its history and
// input when that is how it ends, without them when it may go on. A terminal one that is
// not wanted fails the test.
func (c Client) UntilStatus(t testing.TB, id string, status client.RuntimeStatus) *client.Instance {
	t.Helper()
	var in *client.Instance
	Until(t, id+" is "+string(status), func() bool {
		in = c.instance(t, id, client.GetOptions{})
		if in.Status.Terminal() && in.Status != status {
			t.Fatalf("%s ended as %s, want %s: %s", id, in.Status, status, clip(in.Output))
		}
		return in.Status == status
	})
	if in.Status.Terminal() {
		return c.Instance(t, id)
	}
	return in
}

// Output waits until an instance is Completed and decodes its output into v.
func (c Client) Output(t testing.TB, id string, v any) {
	t.Helper()
	in := c.UntilStatus(t, id, client.StatusCompleted)
	if err := json.Unmarshal(in.Output, v); err != nil {
		t.Fatalf("output of %s: %v: %s", id, err, clip(in.Output))
	}
}

// HostErrors is what the host says is wrong.
func (c Client) HostErrors(t testing.TB) []string {
	t.Helper()
	var status *client.HostStatus
	c.must(t, func(ctx context.Context, api *client.Client) (err error) {
		status, err = api.HostStatus(ctx)
		return err
	})
	return status.Errors
}

// Functions is what the host has loaded.
func (c Client) Functions(t testing.TB) (functions []client.Function) {
	t.Helper()
	c.must(t, func(ctx context.Context, api *client.Client) (err error) {
		functions, err = api.Functions(ctx)
		return err
	})
	return functions
}

// must persists, and fails the test with the error.
func (c Client) must(t testing.TB, ask func(context.Context, *client.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), untilTimeout)
	defer cancel()
	if _, err := c.persist(ctx, func(api *client.Client) error { return ask(ctx, api) }); err != nil {
		t.Fatal(err)
	}
}
