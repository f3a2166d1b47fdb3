package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// TestFeatures shows each feature of orchestrations once, through HTTP, on one host for
// each store.
func TestFeatures(t *testing.T) {
	features := []struct {
		name string
		test func(t *testing.T, h *hosttest.Host)
	}{
		{"chain", func(t *testing.T, h *hosttest.Host) { wantOutput(t, h, "Chain", 5, 5) }},
		{"failure", failure},
		{"an activity that takes its process along runs again", func(t *testing.T, h *hosttest.Host) { wantOutput(t, h, "Die", nil, 2) }},
		{"timer", timer},
		{"custom status", customStatus},
		{"continue as new", continueAsNew},
		{"terminate", terminate},
		{"suspend and resume", suspend},
		{"purge", purge},
		{"child id conflict", childConflict},
		{"start of a live id", startConflict},
		{"large payload", func(t *testing.T, h *hosttest.Host) { largePayload(t, h, large(20<<20)) }},
		{"input that the client sends", largeInput},
		{"bad requests", badRequests},
	}
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		h := deployed(t, s, testApp, nil).Start(t)
		for _, f := range features {
			t.Run(f.name, func(t *testing.T) { f.test(t, h) })
		}
		h.Stop(t)
	})
}

// idFor makes an instance id of the name of the running test.
func idFor(t *testing.T) string { return strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()) }

// wantOutput runs an orchestration and compares its output.
func wantOutput[T comparable](t *testing.T, h *hosttest.Host, name string, input any, want T) {
	t.Helper()
	id := idFor(t)
	if input == nil {
		input = "null"
	}
	h.StartInstance(t, name, id, input)
	var got T
	if h.Output(t, id, &got); got != want {
		t.Errorf("output is %v, want %v", got, want)
	}
}

func failure(t *testing.T, h *hosttest.Host) {
	h.StartInstance(t, "Fail", idFor(t), "null")
	s := h.UntilStatus(t, idFor(t), "Failed")
	if !strings.Contains(string(s.Output), "refused on purpose") {
		t.Errorf("output does not say why: %s", s.Output)
	}
}

func timer(t *testing.T, h *hosttest.Host) {
	h.StartInstance(t, "Sleep", idFor(t), "300")
	var slept int
	if h.Output(t, idFor(t), &slept); slept < 300 {
		t.Errorf("the timer of 300 ms fired after %d ms", slept)
	}
}

func customStatus(t *testing.T, h *hosttest.Host) {
	h.StartInstance(t, "Versions", idFor(t), "null")
	hosttest.Until(t, "the custom status is set", func() bool {
		return string(h.Instance(t, idFor(t)).CustomStatus) == `{"before":"1"}`
	})
	h.Raise(t, idFor(t), "Go", nil)
	h.UntilStatus(t, idFor(t), "Completed")
}

func continueAsNew(t *testing.T, h *hosttest.Host) {
	id := idFor(t)
	h.StartInstance(t, "Loop", id, `{"Left": 40}`)
	for range 3 { // the first execution meets them, the last one has them
		h.Raise(t, id, "Tick", nil)
	}
	h.Raise(t, id, "Begin", nil)
	var out struct{ Done, Events int }
	if h.Output(t, id, &out); out.Done != 40 || out.Events != 3 {
		t.Errorf("got %+v, want 40 executions and 3 events", out)
	}
	if events := h.Instance(t, id).History; len(events) > 10 {
		t.Errorf("the last execution shows %d events, want its own only", len(events))
	}
}

func terminate(t *testing.T, h *hosttest.Host) {
	id := idFor(t)
	h.StartInstance(t, "Child", id, "null")
	h.UntilStatus(t, id, "Running")
	h.Expect(t, http.StatusAccepted, http.MethodPost, client.InstancePath(id, "terminate")+"?reason=enough", nil)
	if s := h.UntilStatus(t, id, "Terminated"); string(s.Output) != `"enough"` {
		t.Errorf("output is %s, want the reason", s.Output)
	}
	h.Expect(t, http.StatusGone, http.MethodPost, client.InstancePath(id, "raiseEvent", "Go"), `"late"`)
	h.Expect(t, http.StatusGone, http.MethodPost, client.InstancePath(id, "terminate"), nil)
}

func suspend(t *testing.T, h *hosttest.Host) {
	id := idFor(t)
	h.StartInstance(t, "Child", id, "null")
	h.UntilStatus(t, id, "Running")
	h.Expect(t, http.StatusAccepted, http.MethodPost, client.InstancePath(id, "suspend")+"?reason=wait", nil)
	h.UntilStatus(t, id, "Suspended")
	h.Expect(t, http.StatusConflict, http.MethodPost, client.InstancePath(id, "suspend"), nil)
	h.Raise(t, id, "Go", `"kept"`)
	// The event is committed, and nothing runs: it stays suspended.
	if s := h.Instance(t, id); s.Status != client.StatusSuspended {
		t.Errorf("it is %s after an event, want Suspended", s.Status)
	}
	h.Expect(t, http.StatusAccepted, http.MethodPost, client.InstancePath(id, "resume"), nil)
	var out string
	if h.Output(t, id, &out); out != "kept" {
		t.Errorf("output is %q, want the event that came meanwhile", out)
	}
}

func purge(t *testing.T, h *hosttest.Host) {
	id := idFor(t)
	h.StartInstance(t, "Child", id, "null")
	h.Expect(t, http.StatusConflict, http.MethodDelete, client.InstancePath(id), nil)
	h.Raise(t, id, "Go", `"x"`)
	h.UntilStatus(t, id, "Completed")
	a := h.Expect(t, http.StatusOK, http.MethodDelete, client.InstancePath(id), nil)
	if string(a.Body) != `{"instancesDeleted":1}` {
		t.Errorf("purge answers %s", a.Body)
	}
	h.Expect(t, http.StatusNotFound, http.MethodGet, client.InstancePath(id), nil)
	h.Expect(t, http.StatusNotFound, http.MethodDelete, client.InstancePath(id), nil)
}

func childConflict(t *testing.T, h *hosttest.Host) {
	child := idFor(t)
	h.StartInstance(t, "Child", child, "null")
	h.UntilStatus(t, child, "Running")
	h.StartInstance(t, "Parent", child+"-parent", fmt.Sprintf("%q", child))
	var out string
	h.Output(t, child+"-parent", &out)
	if !strings.HasPrefix(out, "failed: ") || !strings.Contains(out, child) {
		t.Errorf("the parent says %q, want a failure that names %s", out, child)
	}
	h.Raise(t, child, "Go", `"unharmed"`)
	if h.Output(t, child, &out); out != "unharmed" {
		t.Errorf("the other instance ends with %q", out)
	}
	// The id is free now: the child replaces what had ended, a moment after its parent
	// has started.
	h.StartInstance(t, "Parent", child+"-second", fmt.Sprintf("%q", child))
	hosttest.Until(t, "the child has begun anew", func() bool { return h.Instance(t, child).Status == client.StatusRunning })
	h.Raise(t, child, "Go", `"second"`)
	if h.Output(t, child+"-second", &out); out != "second" {
		t.Errorf("the second parent says %q, want its child's output", out)
	}
}

func startConflict(t *testing.T, h *hosttest.Host) {
	h.StartInstance(t, "Child", idFor(t), "null")
	h.Expect(t, http.StatusConflict, http.MethodPost, client.StartPath("Child", idFor(t)), "null")
}

// largePayload lets n bytes travel as a result, an input and an output.
func largePayload(t *testing.T, h *hosttest.Host, n int) {
	id := idFor(t)
	h.StartInstance(t, "Big", id, n)
	var out string
	if h.Output(t, id, &out); out != strings.Repeat("x", n) {
		t.Errorf("the output has %d bytes, want %d", len(out), n)
	}
	// What the history shows of it is its size.
	a := h.Expect(t, http.StatusOK, http.MethodGet, client.InstancePath(id)+"?showHistory=true&showHistoryOutput=true", nil)
	var s struct {
		HistoryEvents []json.RawMessage `json:"historyEvents"`
	}
	if err := json.Unmarshal(a.Body, &s); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.HistoryEvents {
		if len(e) > 1<<20 {
			t.Errorf("an event of the history has %d bytes", len(e))
		}
	}
}

// largeInput sends a large input and a large event from outside.
func largeInput(t *testing.T, h *hosttest.Host) {
	id := idFor(t)
	text := strings.Repeat("y", 1<<20)
	h.StartInstance(t, "Child", id, fmt.Sprintf("%q", text))
	h.Raise(t, id, "Go", fmt.Sprintf("%q", text))
	var out string
	if h.Output(t, id, &out); out != text {
		t.Errorf("the output has %d bytes, want %d", len(out), len(text))
	}
	var in string
	if err := json.Unmarshal(h.Instance(t, id).Input, &in); err != nil || in != text {
		t.Errorf("the input is shown with %d bytes, want %d (%v)", len(in), len(text), err)
	}
}

func badRequests(t *testing.T, h *hosttest.Host) {
	h.StartInstance(t, "Child", idFor(t), "null")
	tests := []struct {
		name, path, body string
		code             int
		mention          string
	}{
		{"an id with a slash", client.StartPath("Child", "a/b"), "null", 400, "instance id"},
		{"an id with a question mark", client.StartPath("Child", "a?b"), "null", 400, "instance id"},
		{"an id with a hash", client.StartPath("Child", "a#b"), "null", 400, "instance id"},
		{"an id with a backslash", client.StartPath("Child", `a\b`), "null", 400, "instance id"},
		{"an id with a control character", client.StartPath("Child", "a\tb"), "null", 400, "instance id"},
		{"an entity's id", client.StartPath("Child", "@counter@1"), "null", 400, "'@'"},
		{"an id that is too long", client.StartPath("Child", strings.Repeat("a", 257)), "null", 400, "256"},
		{"an id of 257 characters", client.StartPath("Child", strings.Repeat("ä", 257)), "null", 400, "256"},
		{"an input that is no JSON", client.StartPath("Child", "not-json"), "{oops", 400, "JSON"},
		{"an input that is no UTF-8", client.StartPath("Child", "not-utf8"), "\"\xff\"", 400, "JSON"},
		{"an event that is no JSON", client.InstancePath(idFor(t), "raiseEvent", "Go"), "{oops", 400, "JSON"},
		{"an event for nobody", client.InstancePath("nobody", "raiseEvent", "Go"), "1", 404, ""},
	}
	for _, tt := range tests {
		a := h.Expect(t, tt.code, http.MethodPost, tt.path, tt.body)
		if !strings.Contains(string(a.Body), tt.mention) {
			t.Errorf("%s: %s does not mention %q", tt.name, a.Body, tt.mention)
		}
	}
	for _, id := range []string{"not-json", "not-utf8"} {
		h.Expect(t, http.StatusNotFound, http.MethodGet, client.InstancePath(id), nil)
	}
}

// TestPayloadAboveTheLimit: the call fails inside the orchestrator, which goes on; what
// comes from outside is refused.
func TestPayloadAboveTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	h := deployed(t, hosttest.File(), testApp, map[string]any{"maxPayloadBytes": limit}).Start(t)
	h.StartInstance(t, "TooBig", "too-big", limit+1)
	var failures []string
	h.Output(t, "too-big", &failures)
	for _, f := range failures {
		if !strings.Contains(f, "maxPayloadBytes") {
			t.Errorf("a call fails with %q, want maxPayloadBytes mentioned", f)
		}
	}
	if len(failures) != 2 || slices.Contains(failures, "<nil>") {
		t.Errorf("got %q, want two failures", failures)
	}
	// The orchestrator's own output has no caller that could handle it: it fails.
	h.StartInstance(t, "Big", "at-the-limit", limit-2) // two quotes
	h.UntilStatus(t, "at-the-limit", "Completed")
	a := h.Expect(t, http.StatusRequestEntityTooLarge, http.MethodPost, client.StartPath("Child", ""), strings.Repeat(" ", limit+1)+"1")
	if !strings.Contains(string(a.Body), "maxPayloadBytes") {
		t.Errorf("got %s, want maxPayloadBytes mentioned", a.Body)
	}
}
