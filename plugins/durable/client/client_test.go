package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestIDs(t *testing.T) {
	c, h := clientOf(once, reply{code: http.StatusAccepted})
	for _, ctx := range []context.Context{t.Context(), t.Context(), WithRequestID(t.Context(), "mine"), WithRequestID(t.Context(), "")} {
		if err := c.Suspend(ctx, "x", ""); err != nil {
			t.Fatal(err)
		}
	}
	if k := h.keys(); k[0] == k[1] || k[2] != "mine" || k[3] == "" || k[3] == k[0] {
		t.Errorf("request ids %q, want two different ones, mine, and another one", k)
	}
}

func TestOptions(t *testing.T) {
	c, h := clientOf(Options{TaskHub: "My Hub", Header: http.Header{"X-Functions-Key": {"secret"}}}, reply{code: http.StatusOK, body: "{}"})
	if _, err := c.Get(t.Context(), "x", GetOptions{}); err != nil {
		t.Fatal(err)
	}
	r := h.requests[0]
	if r.URL.Query().Get("taskHub") != "My Hub" || r.Header.Get("X-Functions-Key") != "secret" {
		t.Errorf("sent %s with %v", r.URL, r.Header)
	}
}

func TestHostThatIsNoURL(t *testing.T) {
	for _, base := range []string{"", "localhost:7071", "ftp://hub.test", "http://", "http://a b", "/runtime"} {
		c := New(base, Options{}) // whose retries would take half a minute
		if _, err := c.Start(t.Context(), StartRequest{Name: "Order"}); !errors.Is(err, ErrInvalidArgument) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: got %v, want ErrInvalidArgument", base, err)
		}
	}
}

func TestPayloadsThatAreSent(t *testing.T) {
	type order struct{ N int }
	tests := []struct {
		name        string
		payload     any
		start, data string
	}{
		{"a value", order{7}, `{"N":7}`, `{"N":7}`},
		{"JSON as it is", json.RawMessage(` {"a" : 1}`), ` {"a" : 1}`, ` {"a" : 1}`},
		{"none", nil, "", "null"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, h := clientOf(once, reply{code: http.StatusAccepted})
			if _, err := c.Start(t.Context(), StartRequest{Name: "Order", ID: "x", Input: tt.payload}); err != nil {
				t.Fatal(err)
			}
			if err := c.RaiseEvent(t.Context(), "x", "e", tt.payload); err != nil {
				t.Fatal(err)
			}
			if start, data := body(t, h.requests[0]), body(t, h.requests[1]); start != tt.start || data != tt.data {
				t.Errorf("sent %q and %q, want %q and %q", start, data, tt.start, tt.data)
			}
		})
	}
}

func body(t *testing.T, r *http.Request) string {
	t.Helper()
	if r.Body == nil {
		return ""
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStartReturnsTheID(t *testing.T) {
	c, _ := clientOf(once, reply{code: http.StatusAccepted, body: `{"id":"chosen"}`})
	if id, err := c.Start(t.Context(), StartRequest{Name: "Order"}); id != "chosen" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	if id, err := c.Restart(t.Context(), "x", false); id != "chosen" || err != nil {
		t.Errorf("restart: got %q, %v", id, err)
	}
}

func TestWait(t *testing.T) {
	running, ended := reply{code: 202, body: `{"runtimeStatus":"Running"}`}, reply{code: 200, body: `{"runtimeStatus":"Completed","output":1}`}
	for _, o := range []GetOptions{{}, {History: true}} {
		synctest.Test(t, func(t *testing.T) {
			c, h := clientOf(Options{}, running, running, reply{code: 503, retryAfter: "1"}, running, ended)
			in, err := c.Wait(t.Context(), "x", o)
			if err != nil || in.Status != StatusCompleted || string(in.Output) != "1" {
				t.Errorf("got %+v, %v", in, err)
			}
			history := 0
			for _, r := range h.requests {
				if r.URL.Query().Get("showHistory") != "" {
					history++
				}
			}
			if want := map[bool]int{true: 1}[o.History]; history != want || len(h.requests) != 5+want {
				t.Errorf("%d requests, of which %d ask for the history, want %d", len(h.requests), history, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, h := clientOf(Options{}, running)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Wait(ctx, "x", GetOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || len(h.requests) < 60 || len(h.requests) > 100 {
			t.Errorf("got %v after %d looks in a minute, want one a second, more at first", err, len(h.requests))
		}
	})
}

// pages is a host that lists a, b and c, on pages of which one is empty.
func pages(r *http.Request) (*http.Response, error) {
	page := map[string]struct{ next, body string }{
		"":  {"1", `[{"instanceId":"a"}]`},
		"1": {"2", `[]`},
		"2": {"", `[{"instanceId":"b"},{"instanceId":"c"}]`},
	}[r.Header.Get(continuationHeader)]
	h := http.Header{}
	if page.next != "" {
		h.Set(continuationHeader, page.next)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(page.body)), ContentLength: -1}, nil
}

func TestListFollowsThePages(t *testing.T) {
	asked := 0
	c := New("http://hub.test", Options{HTTP: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked++
		return pages(r)
	})}})
	var ids []string
	for in, err := range c.List(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, in.ID)
	}
	if got := strings.Join(ids, " "); got != "a b c" || asked != 3 {
		t.Errorf("%q from %d pages", got, asked)
	}
	for range c.List(t.Context(), Query{}) {
		break // who has enough
	}
	if asked != 4 {
		t.Errorf("%d pages, want one more", asked)
	}
}

func TestListEndsWithTheFirstError(t *testing.T) {
	c, _ := clientOf(once, reply{code: 503})
	n := 0
	for in, err := range c.List(t.Context(), Query{}) {
		if n++; in != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, %v", in, err)
		}
	}
	if n != 1 {
		t.Errorf("%d rounds", n)
	}
}

func TestPurgeByCounts(t *testing.T) {
	for want, r := range map[int]reply{3: {code: 200, body: `{"instancesDeleted":3}`}, 0: {code: 404}} {
		c, _ := clientOf(once, r)
		if n, err := c.PurgeBy(t.Context(), Query{CreatedFrom: time.Unix(0, 0)}); n != want || err != nil {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
}

func TestDoShowsAnswersAsTheyAre(t *testing.T) {
	c, h := clientOf(Options{}, reply{code: 503, body: "later", retryAfter: "1"})
	a, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: InstancePath("x", "suspend"), Header: http.Header{"X": {"y"}}, Body: []byte("1")})
	if err != nil || a.Code != 503 || string(a.Body) != "later" || a.Header.Get("Retry-After") != "1" || len(h.requests) != 1 {
		t.Errorf("got %+v, %v after %d requests", a, err, len(h.requests))
	}
	if h.requests[0].Header.Get("X") != "y" || h.keys()[0] != "" {
		t.Errorf("sent %v", h.requests[0].Header)
	}
}

// The package is for every program, so it brings nothing along.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out)); len(got) != 1 {
		t.Errorf("it links %v, want itself and the standard library", got)
	}
}
