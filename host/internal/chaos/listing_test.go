package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// lister is a host that lists instances, two a page.
func lister(t *testing.T, list []api.Instance) *node {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := 0
		_, _ = fmt.Sscan(r.Header.Get("x-ms-continuation-token"), &from) // no token: from the beginning
		to := min(from+2, len(list))
		if to < len(list) {
			w.Header().Set("x-ms-continuation-token", fmt.Sprint(to))
		}
		if err := json.NewEncoder(w).Encode(list[from:to]); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return &node{url: s.URL}
}

func TestAuditOfTheListing(t *testing.T) {
	in := workload.Tree{Path: "t", Depth: 1, Width: 2}
	tree := &instance{ID: "t", Name: workload.TreeName, acked: true, children: map[string]string{}}
	addChildren(tree.children, in)
	tree.children["t.9"] = "" // one that fails
	maybe := &instance{ID: "maybe", Name: workload.SumName}
	ok := func(id string) api.Instance {
		s := api.Instance{ID: id, Status: api.StatusCompleted, Output: json.RawMessage(tree.children[id])}
		if tree.children[id] == "" {
			s.Output = json.RawMessage("null")
		}
		return s
	}
	failed := ok("t.9")
	failed.Status = api.StatusFailed
	broken, wrong := ok("t.0"), ok("t.0")
	broken.Status, wrong.Output = api.StatusFailed, json.RawMessage("{}")
	tests := []struct {
		name string
		list []api.Instance
		want string
	}{
		{"all are there", []api.Instance{ok("t"), ok("t.0"), ok("t.1"), failed}, ""},
		{"one that may be there", []api.Instance{ok("t"), ok("t.0"), ok("t.1"), failed, ok("maybe")}, ""},
		{"an instance is missing", []api.Instance{ok("t.0"), ok("t.1"), failed}, "not listed"},
		{"a child is missing", []api.Instance{ok("t"), ok("t.0"), failed}, "not listed"},
		{"twice", []api.Instance{ok("t"), ok("t.0"), ok("t.1"), failed, ok("t")}, "listed twice"},
		{"a stranger", []api.Instance{ok("t"), ok("t.0"), ok("t.1"), failed, ok("who")}, "instance from nowhere"},
		{"a child failed", []api.Instance{ok("t"), broken, ok("t.1"), failed}, "wrong end"},
		{"a child that should fail has not", []api.Instance{ok("t"), ok("t.0"), ok("t.1"), ok("t.9")}, "wrong end"},
		{"a child with another output", []api.Instance{ok("t"), wrong, ok("t.1"), failed}, "wrong output"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(io.Discard)
			if err := (&auditor{rec: rec}).listed(t.Context(), lister(t, tt.list), []*instance{tree, maybe}); err != nil {
				t.Fatal(err)
			}
			if got := kindsFound(rec); got != tt.want {
				t.Errorf("found %q, want %q: %v", got, tt.want, rec.findings)
			}
		})
	}
}

func TestAuditWaitsForWhatIsStillOnItsWay(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/absent"):
			w.WriteHeader(http.StatusNotFound)
		case strings.HasSuffix(r.URL.Path, "/slow") && asked.Add(1) == 1:
			_, _ = w.Write(shown(t, "Running", nil))
		default:
			_, _ = w.Write(shown(t, "Completed", 5))
		}
	}))
	defer s.Close()
	var list []*instance
	for _, id := range []string{"slow", "quick", "absent"} {
		list = append(list, &instance{ID: id, want: "5", acked: true})
	}
	a := &auditor{rec: newRecorder(io.Discard)}
	out := a.settled(t.Context(), &node{url: s.URL}, list)
	if len(out) != 2 || !strings.Contains(string(out["slow"]), "Completed") || len(list) != 3 {
		t.Errorf("read %d: %s", len(out), out["slow"])
	}
	if a.rec.found() > 0 {
		t.Errorf("found %v", a.rec.findings)
	}
}
