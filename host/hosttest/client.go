package hosttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"
)

// API is the path of the management API.
const API = "/runtime/webhooks/durabletask"

// Client speaks HTTP with a host. Base is asked at each request, so that a client may
// outlive a host and go on with the next.
type Client struct {
	Base   func() string
	Header http.Header // goes with each request; nil: none but Content-Type
}

// Answer is an HTTP response, read to its end.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Event is one history event as showHistory shows it.
type Event struct {
	EventType     string
	Timestamp     time.Time
	ScheduledTime time.Time
	FunctionName  string
	Name          string
}

// Status is the state of an instance as the API shows it.
type Status struct {
	Name          string          `json:"name"`
	InstanceID    string          `json:"instanceId"`
	RuntimeStatus string          `json:"runtimeStatus"`
	Input         json.RawMessage `json:"input"`
	CustomStatus  json.RawMessage `json:"customStatus"`
	Output        json.RawMessage `json:"output"`
	History       []Event         `json:"historyEvents"`
}

// Terminal says that the instance has ended.
func (s *Status) Terminal() bool {
	switch s.RuntimeStatus {
	case "Completed", "Failed", "Terminated", "Canceled":
		return true
	}
	return false
}

// requestTimeout bounds one request; a host that is frozen does not answer.
const requestTimeout = 60 * time.Second

// connections are not kept: a host that is killed takes them with it, and a request on
// a dying connection could not be told from one that the host has seen.
var transport = &http.Transport{DisableKeepAlives: true}

// Do sends one request. body goes as it is when it is a string or bytes, as JSON
// otherwise; nil: none.
func (c Client) Do(ctx context.Context, method, path string, body any) (*Answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(b))
	case []byte:
		reader = bytes.NewReader(b)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.Base()+path, reader)
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err // names method and URL
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return &Answer{Code: resp.StatusCode, Header: resp.Header, Body: text}, nil
}

// Persist sends a request until a host answers it with anything but 503, or ctx ends.
// unclear says that an earlier attempt may have been carried out.
func (c Client) Persist(ctx context.Context, method, path string, body any) (a *Answer, unclear bool, err error) {
	for {
		a, err := c.Do(ctx, method, path, body)
		switch {
		case err == nil && a.Code != http.StatusServiceUnavailable:
			return a, unclear, nil
		case !errors.Is(err, syscall.ECONNREFUSED):
			unclear = true
		}
		select {
		case <-ctx.Done():
			return nil, unclear, fmt.Errorf("%w; last: %w", context.Cause(ctx), describe(a, err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func describe(a *Answer, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%d %s", a.Code, a.Body)
}

// StartPath is the path of the start of an orchestration; an empty id lets the hub choose.
func StartPath(name, id string) string {
	path := API + "/orchestrators/" + url.PathEscape(name)
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return path
}

// InstancePath is the path of an instance, or of an operation on it when more is given:
// InstancePath(id, "raiseEvent", "Go").
func InstancePath(id string, more ...string) string {
	path := API + "/instances/" + url.PathEscape(id)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}

// Expect sends a request, again while the hub is unavailable, and fails the test unless
// the answer has the code. A request that changes something has an Idempotency-Key: the
// answer to a repetition is that to the first attempt, which may have been carried out.
func (c Client) Expect(t testing.TB, code int, method, path string, body any) *Answer {
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
	c.Expect(t, http.StatusAccepted, http.MethodPost, StartPath(name, id), input)
}

// Raise raises an event and fails the test unless that is acknowledged.
func (c Client) Raise(t testing.TB, id, event string, data any) {
	t.Helper()
	if data == nil {
		data = "null"
	}
	c.Expect(t, http.StatusAccepted, http.MethodPost, InstancePath(id, "raiseEvent", event), data)
}

// Instance reads an instance with its history.
func (c Client) Instance(t testing.TB, id string) *Status {
	t.Helper()
	return c.instance(t, id, withHistory)
}

func (c Client) instance(t testing.TB, id, query string) *Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), untilTimeout)
	defer cancel()
	s, err := c.read(ctx, id, query)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const withHistory = "?showHistory=true"

// ErrNoInstance means that a host says that there is no such instance.
var ErrNoInstance = errors.New("no such instance")

// Read reads an instance with its history, persisting until ctx ends. It fails with
// ErrNoInstance.
func (c Client) Read(ctx context.Context, id string) (*Status, error) {
	return c.read(ctx, id, withHistory)
}

func (c Client) read(ctx context.Context, id, query string) (*Status, error) {
	a, _, err := c.Persist(ctx, http.MethodGet, InstancePath(id)+query, nil)
	switch {
	case err != nil:
		return nil, err
	case a.Code == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", id, ErrNoInstance)
	case a.Code != http.StatusOK && a.Code != http.StatusAccepted:
		return nil, fmt.Errorf("%s: %d %s", id, a.Code, clip(a.Body))
	}
	s := &Status{}
	if err := json.Unmarshal(a.Body, s); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", id, err, clip(a.Body))
	}
	return s, nil
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
func (c Client) UntilStatus(t testing.TB, id, status string) *Status {
	t.Helper()
	var s *Status
	Until(t, id+" is "+status, func() bool {
		s = c.instance(t, id, "?showInput=false")
		if s.Terminal() && s.RuntimeStatus != status {
			t.Fatalf("%s ended as %s, want %s: %s", id, s.RuntimeStatus, status, clip(s.Output))
		}
		return s.RuntimeStatus == status
	})
	if s.Terminal() {
		return c.Instance(t, id)
	}
	return s
}

// Output waits until an instance is Completed and decodes its output into v.
func (c Client) Output(t testing.TB, id string, v any) {
	t.Helper()
	s := c.UntilStatus(t, id, "Completed")
	if err := json.Unmarshal(s.Output, v); err != nil {
		t.Fatalf("output of %s: %v: %s", id, err, clip(s.Output))
	}
}

// HostErrors is what /admin/host/status says is wrong.
func (c Client) HostErrors(t testing.TB) []string {
	t.Helper()
	a := c.Expect(t, http.StatusOK, http.MethodGet, "/admin/host/status", nil)
	var status struct {
		Errors []string `json:"errors"`
	}
	if err := json.Unmarshal(a.Body, &status); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return status.Errors
}

// FunctionNames is what /admin/functions lists.
func (c Client) FunctionNames(t testing.TB) []string {
	t.Helper()
	a := c.Expect(t, http.StatusOK, http.MethodGet, "/admin/functions", nil)
	var functions []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(a.Body, &functions); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	var names []string
	for _, f := range functions {
		names = append(names, f.Name)
	}
	return names
}
