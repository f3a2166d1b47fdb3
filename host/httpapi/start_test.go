package httpapi

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
)

func TestWaitForTheEnd(t *testing.T) {
	tests := []struct {
		name, query string
		status      history.Status
		output      *string
		want        string
	}{
		{"completed", "timeout=30&pollingInterval=0.5", history.Completed, ptr(`{"n": 7}`), `{"n": 7}`},
		{"timeout alone is enough", "timeout=30", history.Completed, ptr(`"x"`), `"x"`},
		{"completed with nothing", "timeout=1e300", history.Completed, nil, `null`},
		{"failed", "timeout=30", history.Failed, ptr(`"it broke"`), `{"name":"Order","instanceId":"x","runtimeStatus":"Failed","input":5,` +
			`"customStatus":null,"output":"it broke","createdTime":"2024-05-01T08:20:30Z","lastUpdatedTime":"2024-05-01T08:20:30Z"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newFake()
			c.waiting = make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				<-c.waiting
				c.end("x", tt.status, tt.output)
			}()
			w := do(New(Options{Client: c}), "POST", "/orchestrators/Order/x?"+tt.query, "5")
			<-done
			if w.Code != 200 || w.Body.String() != tt.want {
				t.Errorf("got %d %s, want %s", w.Code, w.Body, tt.want)
			}
			if w.Header().Get("Location") != "" || w.Header().Get("Retry-After") != "" {
				t.Errorf("headers %v", w.Header())
			}
			if len(c.log) != 2 || c.log[1] != "get x" { // payloads may be large
				t.Errorf("the hub was asked for %q, want one start and one get", c.log)
			}
		})
	}
}

// A start that is committed is never answered with an error, or the client would
// start another instance.
func TestErrorWhileWaitingIsAccepted(t *testing.T) {
	c := newFake()
	c.waiting = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequest("POST", testAuthority+BasePath+"/orchestrators/Order/x?timeout=3600", nil).WithContext(ctx)
	w := httptest.NewRecorder()
	go func() {
		<-c.waiting
		cancel()
	}()
	New(Options{Client: c, TaskHub: "Hub"}).ServeHTTP(w, r)
	if w.Code != 202 || w.Body.String() != links("x") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestRestartKeepsVersionAndTags(t *testing.T) {
	in := instance("old", history.Running)
	in.Version, in.Tags, in.Input = "2.1", map[string]string{"k": "v"}, ptr(`[1]`)
	c := newFake(in)
	if w := do(New(Options{Client: c}), "POST", "/instances/old/restart", ""); w.Code != 202 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	want := `start Order id="" version="2.1" input=[1] tags=map[k:v]`
	if got := c.log[len(c.log)-1]; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// TestLengthOfAnIDIsInCharacters: bytes do not count.
func TestLengthOfAnIDIsInCharacters(t *testing.T) {
	for n, code := range map[int]int{200: 202, 256: 202, 257: 400} {
		w := do(New(Options{Client: newFake()}), "POST", "/orchestrators/Order/"+strings.Repeat("%C3%BC", n), "")
		if w.Code != code {
			t.Errorf("%d times ü: got %d %s, want %d", n, w.Code, w.Body, code)
		}
	}
}

func TestUnknownOrchestrator(t *testing.T) {
	tests := []struct {
		name   string
		host   Host
		atOnce bool
		code   int
		want   string
	}{
		{"nobody knows", nil, true, 202, ""},
		{"the instance waits for it", fakeHost{orchestrators: []string{"Pay"}}, false, 202, ""},
		{"none registered", fakeHost{}, true, 400, badArg(`the orchestrator "Order" is not registered; no orchestrator is`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := do(New(Options{Client: newFake(), Host: tt.host, UnknownFunctionsAtOnce: tt.atOnce}), "POST", "/orchestrators/Order", "")
			if w.Code != tt.code || tt.want != "" && w.Body.String() != tt.want {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

// A body of unknown length is bounded too, and a declared length is not believed.
func TestChunkedBody(t *testing.T) {
	for body, code := range map[string]int{`"` + strings.Repeat("x", 8) + `"`: 202, `"` + strings.Repeat("x", 9) + `"`: 413} {
		r := httptest.NewRequest("POST", testAuthority+BasePath+"/orchestrators/Order", strings.NewReader(body))
		r.ContentLength = -1
		w := httptest.NewRecorder()
		New(Options{Client: newFake(), MaxPayloadBytes: 10}).ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%d bytes: got %d, want %d", len(body), w.Code, code)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	h := New(Options{Client: newFake(instance("x", history.Completed)), TaskHub: "Hub", Host: fakeHost{}})
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", testAuthority+BasePath+"/orchestrators/Order", strings.NewReader(`{"a":1}`))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
