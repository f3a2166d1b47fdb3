package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// errCut is a connection that breaks before the answer is there.
var errCut = errors.New("connection reset by peer")

// reply is an answer of a hub; code 0 cuts the connection.
type reply struct {
	code       int
	body       string
	retryAfter string
}

// hub is a host without a network that gives its replies in turn, the last one for ever,
// and remembers what it was asked.
type hub struct {
	mu       sync.Mutex
	replies  []reply
	requests []*http.Request
	at       []time.Time
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	h.requests, h.at = append(h.requests, r), append(h.at, time.Now())
	now := h.replies[0]
	if len(h.replies) > 1 {
		h.replies = h.replies[1:]
	}
	if now.code == 0 {
		return nil, errCut
	}
	w := httptest.NewRecorder()
	if now.retryAfter != "" {
		w.Header().Set("Retry-After", now.retryAfter)
	}
	w.WriteHeader(now.code)
	_, _ = w.WriteString(now.body)
	return w.Result(), nil
}

// keys are the request ids that came.
func (h *hub) keys() []string {
	var all []string
	for _, r := range h.requests {
		all = append(all, r.Header.Get(requestIDHeader))
	}
	return all
}

// clientOf returns a client of a hub with these replies.
func clientOf(o Options, replies ...reply) (*Client, *hub) {
	h := &hub{replies: replies}
	o.HTTP = &http.Client{Transport: h}
	return New("http://hub.test/", o), h
}

// once sends each request once.
var once = Options{RetryFor: -1}

// operations are all methods that ask for something; what is asked is x.
var operations = []struct {
	name    string
	do      func(context.Context, *Client) error
	want    string // method, path and query
	success reply
	changes bool // it has a request id
}{
	{"start", func(ctx context.Context, c *Client) error {
		_, err := c.Start(ctx, StartRequest{Name: "Order", Version: "2"})
		return err
	}, "POST /runtime/webhooks/durabletask/orchestrators/Order?version=2", reply{code: 202, body: `{"id":"x"}`}, true},
	{"start with an id", func(ctx context.Context, c *Client) error {
		_, err := c.Start(ctx, StartRequest{Name: "a/b", ID: "x y"})
		return err
	}, "POST /runtime/webhooks/durabletask/orchestrators/a%2Fb/x%20y", reply{code: 202}, true},
	{"restart", func(ctx context.Context, c *Client) error {
		_, err := c.Restart(ctx, "x", true)
		return err
	}, "POST /runtime/webhooks/durabletask/instances/x/restart?restartWithNewInstanceId=false", reply{code: 202, body: `{"id":"x"}`}, true},
	{"get", func(ctx context.Context, c *Client) error {
		_, err := c.Get(ctx, "x", GetOptions{Input: true, History: true, Outputs: true})
		return err
	}, "GET /runtime/webhooks/durabletask/instances/x?showHistory=true&showHistoryOutput=true&showInput=true", reply{code: 200, body: "{}"}, false},
	{"wait", func(ctx context.Context, c *Client) error {
		_, err := c.Wait(ctx, "x", GetOptions{})
		return err
	}, "GET /runtime/webhooks/durabletask/instances/x?showInput=false", reply{code: 200, body: `{"runtimeStatus":"Failed"}`}, false},
	{"raise", func(ctx context.Context, c *Client) error { return c.RaiseEvent(ctx, "x", "Go on", 1) },
		"POST /runtime/webhooks/durabletask/instances/x/raiseEvent/Go%20on", reply{code: 202}, true},
	{"terminate", func(ctx context.Context, c *Client) error { return c.Terminate(ctx, "x", "no use", true) },
		"POST /runtime/webhooks/durabletask/instances/x/terminate?reason=no+use&recursive=true", reply{code: 202}, true},
	{"suspend", func(ctx context.Context, c *Client) error { return c.Suspend(ctx, "x", "") },
		"POST /runtime/webhooks/durabletask/instances/x/suspend", reply{code: 202}, true},
	{"resume", func(ctx context.Context, c *Client) error { return c.Resume(ctx, "x", "now") },
		"POST /runtime/webhooks/durabletask/instances/x/resume?reason=now", reply{code: 202}, true},
	{"purge", func(ctx context.Context, c *Client) error { return c.Purge(ctx, "x") },
		"DELETE /runtime/webhooks/durabletask/instances/x", reply{code: 200}, true},
	{"purge by filter", func(ctx context.Context, c *Client) error {
		_, err := c.PurgeBy(ctx, Query{CreatedFrom: time.Unix(0, 0), CreatedTo: time.Unix(1, 5e8), IDPrefix: "x"})
		return err
	}, "DELETE /runtime/webhooks/durabletask/instances?createdTimeFrom=1970-01-01T00%3A00%3A00Z&createdTimeTo=1970-01-01T00%3A00%3A01.5Z&instanceIdPrefix=x",
		reply{code: 200, body: `{"instancesDeleted":3}`}, false},
	{"list", func(ctx context.Context, c *Client) error {
		for _, err := range c.List(ctx, Query{Status: []RuntimeStatus{StatusFailed, StatusRunning}, PageSize: 5}) {
			return err
		}
		return nil
	}, "GET /runtime/webhooks/durabletask/instances?runtimeStatus=Failed&runtimeStatus=Running&showInput=false&top=5", reply{code: 200, body: "[]"}, false},
	{"ping", func(ctx context.Context, c *Client) error { return c.Ping(ctx) }, "GET /admin/host/ping", reply{code: 200}, false},
	{"status of the host", func(ctx context.Context, c *Client) error {
		_, err := c.HostStatus(ctx)
		return err
	}, "GET /admin/host/status", reply{code: 200, body: "{}"}, false},
	{"functions", func(ctx context.Context, c *Client) error {
		_, err := c.Functions(ctx)
		return err
	}, "GET /admin/functions", reply{code: 200, body: "[]"}, false},
}

func TestWhatIsSent(t *testing.T) {
	for _, tt := range operations {
		t.Run(tt.name, func(t *testing.T) {
			c, h := clientOf(once, tt.success)
			if err := tt.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if len(h.requests) != 1 {
				t.Fatalf("%d requests", len(h.requests))
			}
			r := h.requests[0]
			if got := r.Method + " " + r.URL.RequestURI(); got != tt.want || r.URL.Host != "hub.test" {
				t.Errorf("sent %s\nwant %s", got, tt.want)
			}
			if got := h.keys()[0] != ""; got != tt.changes {
				t.Errorf("request id: %v, want %v", got, tt.changes)
			}
			if got := r.Header.Get("Content-Type"); (got == "application/json") != (r.Method != http.MethodGet) {
				t.Errorf("content type %q", got)
			}
		})
	}
}
