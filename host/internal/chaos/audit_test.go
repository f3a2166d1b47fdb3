package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
)

// shown is an instance as a host shows it; history are the types of events.
func shown(t *testing.T, status string, output any, history ...string) []byte {
	t.Helper()
	events := []map[string]string{}
	for _, e := range history {
		events = append(events, map[string]string{"EventType": e})
	}
	b, err := json.Marshal(map[string]any{"instanceId": "x", "runtimeStatus": status, "output": output, "historyEvents": events})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// life is a history with n outcomes of activities.
func life(n int) []string {
	return slices.Concat([]string{"ExecutionStarted"}, slices.Repeat([]string{"TaskCompleted"}, n), []string{"ExecutionCompleted"})
}

func TestAuditOfOneInstance(t *testing.T) {
	sum := func() *instance { return &instance{ID: "x", Name: workload.SumName, want: "5", tasks: 3, acked: true} }
	gate := func() *instance { return &instance{ID: "x", Name: workload.GateName, acked: true} }
	tests := []struct {
		name string
		i    *instance
		body []byte
		want string // kind of finding; empty: none
	}{
		{"as it should be", sum(), shown(t, "Completed", 5, life(3)...), ""},
		{"lost", sum(), nil, "lost start"},
		{"never acknowledged and not there", &instance{ID: "x", Name: workload.SumName, want: "5"}, nil, ""},
		{"stuck", sum(), shown(t, "Running", nil, "ExecutionStarted"), "stuck"},
		{"never acknowledged and stuck", &instance{ID: "x", Name: workload.SumName, want: "5"}, shown(t, "Running", nil), "stuck"},
		{"failed", sum(), shown(t, "Failed", "no", life(3)...), "wrong end"},
		{"terminated by nobody", sum(), shown(t, "Terminated", nil, life(3)...), "wrong end"},
		{"wrong sum", sum(), shown(t, "Completed", 6, life(3)...), "wrong output"},
		{"an outcome twice", sum(), shown(t, "Completed", 5, life(4)...), "wrong history"},
		{"two starts", sum(), shown(t, "Completed", 5, append([]string{"ExecutionStarted"}, life(3)...)...), "wrong history"},
		{"goes on after its end", sum(), shown(t, "Completed", 5, append(life(2), "TaskCompleted")...), "wrong history"},
		{"a call without its outcome", sum(), shown(t, "Completed", 5, "ExecutionStarted", "TaskCompleted", "TaskCompleted", "TaskScheduled", "ExecutionCompleted"), "wrong history"},
		{"gate opened", gate(), shown(t, "Completed", workload.Passed, life(0)...), ""},
		{"gate opened by a stranger", gate(), shown(t, "Completed", "abracadabra", life(0)...), "wrong output"},
		{"gate terminated", &instance{ID: "x", Name: workload.GateName, acked: true, killed: true}, shown(t, "Terminated", nil, life(0)...), ""},
		{"another end than a client saw", &instance{ID: "x", Name: workload.GateName, acked: true, killed: true, terminal: "Terminated null"},
			shown(t, "Completed", workload.Passed, life(0)...), "taken back"},
		{"no JSON", sum(), []byte("<html>"), "unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(io.Discard)
			(&auditor{rec: rec}).check(tt.i, tt.body)
			if got := kindsFound(rec); got != tt.want {
				t.Errorf("found %q, want %q: %v", got, tt.want, rec.findings)
			}
		})
	}
}

func kindsFound(rec *recorder) string {
	kinds := map[string]bool{}
	for _, f := range rec.findings {
		kinds[f.Kind] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
}

func TestAuditOfACounter(t *testing.T) {
	tests := []struct {
		name  string
		seen  []string
		shows [][]string // what clients were shown on the way
		want  string
	}{
		{"each once", []string{"a", "b"}, [][]string{{}, {"a"}, {"a", "b"}}, ""},
		{"one without an answer came too", []string{"a", "maybe", "b"}, [][]string{{"a", "maybe"}}, ""},
		{"lost", []string{"a"}, nil, "lost event"},
		{"twice", []string{"a", "b", "a"}, nil, "message repeated"},
		{"from nowhere", []string{"a", "b", "c"}, nil, "message from nowhere"},
		{"a state that is gone", []string{"a", "b"}, [][]string{{"b"}}, "conflicting histories"},
		{"a state of the future", []string{"a", "b"}, [][]string{{"a", "b", "maybe"}}, "conflicting histories"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(io.Discard)
			for _, ids := range tt.shows {
				s := workload.Show(ids)
				rec.add(op{Kind: opRead, ID: "x", Result: "Running", Count: s.Count, Digest: s.Digest})
			}
			i := &instance{ID: "x", Name: workload.CounterName, tasks: -1, acked: true, messages: map[string]*message{}}
			i.expectMessage("a", true, 1)
			i.expectMessage("b", true, 1)
			i.expectMessage("maybe", false, 1)
			if got, want := fmt.Sprint(i.must()), "[a b]"; got != want {
				t.Errorf("must: %s, want %s", got, want)
			}
			(&auditor{rec: rec}).check(i, shown(t, "Completed", workload.Counter{Seen: tt.seen}, life(0)...))
			if got := kindsFound(rec); got != tt.want {
				t.Errorf("found %q, want %q: %v", got, tt.want, rec.findings)
			}
		})
	}
}
