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

	"github.com/durafunc/durafunc/host/chaos/workload"
	"github.com/durafunc/durafunc/host/hosttest"
)

// lister is a host that lists instances, two a page.
func lister(t *testing.T, list []hosttest.Status) *node {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := 0
		_, _ = fmt.Sscan(r.Header.Get(tokenHeader), &from) // no token: from the beginning
		to := min(from+2, len(list))
		if to < len(list) {
			w.Header().Set(tokenHeader, fmt.Sprint(to))
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
	ok := func(id string) hosttest.Status {
		s := hosttest.Status{InstanceID: id, RuntimeStatus: "Completed", Output: json.RawMessage(tree.children[id])}
		if tree.children[id] == "" {
			s.Output = json.RawMessage("null")
		}
		return s
	}
	failed := ok("t.9")
	failed.RuntimeStatus = "Failed"
	broken, wrong := ok("t.0"), ok("t.0")
	broken.RuntimeStatus, wrong.Output = "Failed", json.RawMessage("{}")
	tests := []struct {
		name string
		list []hosttest.Status
		want string
	}{
		{"all are there", []hosttest.Status{ok("t"), ok("t.0"), ok("t.1"), failed}, ""},
		{"one that may be there", []hosttest.Status{ok("t"), ok("t.0"), ok("t.1"), failed, ok("maybe")}, ""},
		{"an instance is missing", []hosttest.Status{ok("t.0"), ok("t.1"), failed}, "not listed"},
		{"a child is missing", []hosttest.Status{ok("t"), ok("t.0"), failed}, "not listed"},
		{"twice", []hosttest.Status{ok("t"), ok("t.0"), ok("t.1"), failed, ok("t")}, "listed twice"},
		{"a stranger", []hosttest.Status{ok("t"), ok("t.0"), ok("t.1"), failed, ok("who")}, "instance from nowhere"},
		{"a child failed", []hosttest.Status{ok("t"), broken, ok("t.1"), failed}, "wrong end"},
		{"a child that should fail has not", []hosttest.Status{ok("t"), ok("t.0"), ok("t.1"), ok("t.9")}, "wrong end"},
		{"a child with another output", []hosttest.Status{ok("t"), wrong, ok("t.1"), failed}, "wrong output"},
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
