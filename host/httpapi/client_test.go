package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// memory carries requests to a handler without a network.
type memory struct{ http.Handler }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil { // as a server would have it
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// clientOf is the Go client of an API; it sends each request once.
func clientOf(o Options) *client.Client {
	return client.New("http://hub.test", client.Options{
		TaskHub: "Hub", RetryFor: -1, HTTP: &http.Client{Transport: memory{New(o)}},
	})
}

// The Go client asks for what the API serves.
func TestGoClient(t *testing.T) {
	f := newFake(instance("x", history.Running), instance("old", history.Completed))
	f.instances["x"].Input, f.instances["old"].Output = ptr(`{"n":1}`), ptr(`"ok"`)
	c, ctx := clientOf(Options{Client: f, TaskHub: "Hub", Host: fakeHost{}, Version: "1.0"}), t.Context()

	id, err := c.Start(ctx, client.StartRequest{Name: "Order", ID: "a+b c", Input: map[string]int{"n": 2}, Version: "v2"})
	if err != nil || id != "a+b c" {
		t.Errorf("start: %q, %v", id, err)
	}
	if id, err := c.Start(ctx, client.StartRequest{Name: "Order"}); err != nil || id != "new3" {
		t.Errorf("start without an id: %q, %v", id, err)
	}
	if id, err := c.Restart(ctx, "old", true); err != nil || id != "old" {
		t.Errorf("restart: %q, %v", id, err)
	}
	for name, err := range map[string]error{
		"raise":     c.RaiseEvent(ctx, "x", "Go on", []int{1}),
		"terminate": c.Terminate(ctx, "x", "no use", true),
		"suspend":   c.Suspend(ctx, "x", "wait"),
		"resume":    c.Resume(ctx, "x", ""),
		"ping":      c.Ping(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []string{
		`start Order id="a+b c" version="v2" input={"n":2} tags=map[]`, `start Order id="old" version="" input=nil tags=map[]`,
		"raise x Go on [1]", `terminate x "no use" true`, `suspend x "wait"`, `resume x ""`,
	} {
		if !slices.Contains(f.log, want) {
			t.Errorf("the hub was not asked for %s, but for %q", want, f.log)
		}
	}
}

func TestGoClientReads(t *testing.T) {
	f := newFake(instance("x", history.Completed))
	f.instances["x"].Input, f.instances["x"].Output, f.instances["x"].CustomStatus = ptr(`{"n":1}`), ptr(`"ok"`), ptr("7")
	f.events = []*history.HistoryEvent{scheduled(1, 1, "Pay", `{"sum":3}`), completed(2, 1, `"paid"`)}
	c := clientOf(Options{Client: f, TaskHub: "Hub"})
	in, err := c.Wait(t.Context(), "x", client.GetOptions{Input: true, History: true, Outputs: true})
	if err != nil {
		t.Fatal(err)
	}
	if in.ID != "x" || in.Name != "Order" || in.Status != client.StatusCompleted || string(in.Input) != `{"n":1}` ||
		string(in.Output) != `"ok"` || string(in.CustomStatus) != "7" || !in.Created.Equal(testTime.Truncate(time.Second)) {
		t.Errorf("got %+v", in)
	}
	if len(in.History) != 1 {
		t.Fatalf("history %+v", in.History)
	}
	e := in.History[0]
	if e.EventType != "TaskCompleted" || e.FunctionName != "Pay" || string(e.Result) != `"paid"` || e.Input != `{"sum":3}` || e.Timestamp.IsZero() || e.ScheduledTime.IsZero() {
		t.Errorf("event %+v", e)
	}
	if in, err = c.Get(t.Context(), "x", client.GetOptions{}); err != nil || string(in.Input) != "null" || in.History != nil {
		t.Errorf("what nobody asked for: %+v, %v", in, err)
	}
}

func TestGoClientListsAndPurges(t *testing.T) {
	f := newFake(instance("a", history.Completed), instance("b", history.Failed), instance("c", history.Running))
	c := clientOf(Options{Client: f, TaskHub: "Hub"})
	var ids []string
	for in, err := range c.List(t.Context(), client.Query{Status: []client.RuntimeStatus{client.StatusFailed}, IDPrefix: "a&b", CreatedFrom: testTime, PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, in.ID)
	}
	if !slices.Equal(ids, []string{"a", "b", "c"}) {
		t.Errorf("listed %q, want all from two pages", ids)
	}
	if q := f.query; q.Token != "page2" || q.Top != 2 || q.IDPrefix != "a&b" || !q.CreatedFrom.Equal(testTime) || !slices.Equal(q.Statuses, []taskhub.Status{history.Failed}) {
		t.Errorf("the hub was asked for %+v", q)
	}
	if n, err := c.PurgeBy(t.Context(), client.Query{CreatedFrom: testTime}); n != 2 || err != nil {
		t.Errorf("purge by: %d, %v", n, err)
	}
	if n, err := c.PurgeBy(t.Context(), client.Query{CreatedFrom: testTime, IDPrefix: "none"}); n != 0 || err != nil {
		t.Errorf("purge of nothing: %d, %v", n, err)
	}
	if _, err := c.PurgeBy(t.Context(), client.Query{}); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("purge without a date: %v", err)
	}
	if err := c.Purge(t.Context(), "a"); err != nil {
		t.Errorf("purge: %v", err)
	}
}

// Each error of a task hub reaches the Go client as its own.
func TestGoClientErrors(t *testing.T) {
	for hub, want := range map[error]error{
		taskhub.ErrNotFound: client.ErrNotFound, taskhub.ErrInstanceExists: client.ErrInstanceExists,
		taskhub.ErrTerminal: client.ErrTerminal, taskhub.ErrInvalidState: client.ErrInvalidState,
		taskhub.ErrInvalidArgument: client.ErrInvalidArgument, taskhub.ErrBusy: client.ErrBusy,
		taskhub.ErrUnavailable: client.ErrUnavailable, errors.New("boom"): client.ErrInternal,
	} {
		f := newFake()
		f.next = fmt.Errorf("instance x: %w", hub)
		err := clientOf(Options{Client: f, TaskHub: "Hub"}).Suspend(t.Context(), "x", "")
		if !errors.Is(err, want) {
			t.Errorf("%v becomes %v, want %v", hub, err, want)
		}
		var e *client.Error
		if again := errors.Is(want, client.ErrBusy) || errors.Is(want, client.ErrUnavailable); errors.As(err, &e) && (e.RetryAfter > 0) != again {
			t.Errorf("%v: try again after %v", hub, e.RetryAfter)
		}
	}
	f := newFake(instance("x", history.Running))
	if err := clientOf(Options{Client: f, TaskHub: "Other"}).Suspend(t.Context(), "x", ""); !errors.Is(err, client.ErrInvalidArgument) || len(f.log) > 0 {
		t.Errorf("another hub: %v, asked %q", err, f.log)
	}
	_, err := clientOf(Options{Client: f, TaskHub: "Hub", MaxPayloadBytes: 3}).Start(t.Context(), client.StartRequest{Name: "Order", Input: 12345})
	if !errors.Is(err, client.ErrPayloadTooLarge) {
		t.Errorf("too large: %v", err)
	}
	r, err := clientOf(Options{Client: f}).Do(t.Context(), client.Request{Method: http.MethodPost, Path: client.InstancePath("x", "rewind")})
	if err != nil || r.Code != http.StatusNotImplemented {
		t.Errorf("rewind: %+v, %v", r, err)
	}
}

func TestGoClientNamesItsRequests(t *testing.T) {
	l := &listener{fakeClient: newFake(instance("x", history.Running))}
	c := clientOf(Options{Client: l, TaskHub: "Hub"})
	if err := errors.Join(c.Suspend(client.WithRequestID(t.Context(), "key 1"), "x", ""), c.Resume(t.Context(), "x", "")); err != nil {
		t.Fatal(err)
	}
	if len(l.heard) != 2 || l.heard[0] != "key 1" || l.heard[1] == "" {
		t.Errorf("request ids %q", l.heard)
	}
}

func TestGoClientAsksTheHost(t *testing.T) {
	c := clientOf(Options{Client: newFake(), Host: statusHost{}, Version: "1.0"})
	s, err := c.HostStatus(t.Context())
	if err != nil || s.State != "Running" || s.Version != "1.0" || len(s.Errors) != 1 || s.Uptime <= 0 || s.TaskHub == nil {
		t.Fatalf("status %+v, %v", s, err)
	}
	if p := s.TaskHub.Partitions; s.TaskHub.Session != "s1" || len(p) != 1 || p[0].State != "serving" || p[0].Epoch != 7 {
		t.Errorf("task hub %+v", s.TaskHub)
	}
	functions, err := c.Functions(t.Context())
	if err != nil || len(functions) != 2 || functions[0].Name != "Order" || functions[0].AppVersion != "1.2" || !functions[1].IsDisabled {
		t.Errorf("functions %+v, %v", functions, err)
	}
	if len(functions) == 2 && !json.Valid(functions[0].Config.Bindings[0]) {
		t.Errorf("bindings %s", functions[0].Config.Bindings)
	}
}

// statusHost is a fakeHost with a task hub.
type statusHost struct{ fakeHost }

func (h statusHost) Status() HostStatus {
	s := h.fakeHost.Status()
	s.TaskHub = &TaskHubStatus{Session: "s1", Partitions: []PartitionStatus{{State: "serving", Epoch: 7}}}
	return s
}

// Client and hub agree on which statuses there are, and which of them are an end.
func TestGoClientKnowsTheStatuses(t *testing.T) {
	for s := history.Running; s <= history.Suspended; s++ {
		if name := client.RuntimeStatus(history.StatusName(s)); name.Terminal() != history.IsTerminal(s) {
			t.Errorf("%s ends for the client: %v, for the hub: %v", name, name.Terminal(), history.IsTerminal(s))
		}
	}
	for _, s := range []client.RuntimeStatus{client.StatusPending, client.StatusRunning, client.StatusSuspended, client.StatusContinuedAsNew,
		client.StatusCompleted, client.StatusFailed, client.StatusTerminated, client.StatusCanceled} {
		if _, ok := history.StatusByName(string(s)); !ok {
			t.Errorf("no hub has the status %s", s)
		}
	}
	if BasePath != client.BasePath {
		t.Errorf("the API stands at %s, and the client asks at %s", BasePath, client.BasePath)
	}
}
