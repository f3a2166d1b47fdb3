package hosttest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

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
