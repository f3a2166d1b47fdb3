package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
)

// Shorthand of histories: operations in a row, unless they say when.
func saw(result string) op { return op{Kind: opRead, Result: result, Count: -1} }
func shows(count int) op   { return op{Kind: opRead, Result: "Running", Count: count} }
func started() op          { return op{Kind: opStart, Result: accepted, Count: -1} }
func raised(r string) op   { return op{Kind: opRaise, Result: r, Ends: true, Count: -1} }
func sent(r string) op     { return op{Kind: opRaise, Result: r, Weight: 1, Count: -1} }
func killed(r string) op   { return op{Kind: opTerminate, Result: r, Count: -1} }
func at(from, to int64, o op) op {
	o.Call, o.Return = from, to
	return o
}

func TestLinearizable(t *testing.T) {
	tests := []struct {
		name    string
		of      string
		history []op
		want    bool
	}{
		{"a life", workload.SumName, []op{saw(absent), started(), saw("Pending"), saw("Running"), saw("Completed"), saw("Completed")}, true},
		{"lost after its start", workload.SumName, []op{started(), saw(absent)}, false},
		{"gone again", workload.SumName, []op{started(), saw("Running"), saw(absent)}, false},
		{"running again", workload.SumName, []op{started(), saw("Completed"), saw("Running")}, false},
		{"a stale read beside a fresh one", workload.SumName,
			[]op{at(0, 1, started()), at(2, 9, saw("Running")), at(3, 4, saw("Completed"))}, true},
		{"a stale read after a fresh one", workload.SumName,
			[]op{at(0, 1, started()), at(5, 9, saw("Running")), at(3, 4, saw("Completed"))}, false},
		{"failed", workload.SumName, []op{started(), saw("Failed")}, false},
		{"suspended", workload.SumName, []op{started(), saw("Suspended")}, false},
		{"started twice", workload.SumName, []op{started(), started()}, false},
		{"a start without an answer takes effect late", workload.SumName,
			[]op{at(0, forever, op{Kind: opStart, Result: unknown, Count: -1}), at(2, 3, saw(absent)), at(4, 5, saw("Running"))}, true},
		{"opened by nobody", workload.GateName, []op{started(), saw("Completed")}, false},
		{"opened", workload.GateName, []op{started(), raised(accepted), saw("Running"), saw("Completed"), raised(gone)}, true},
		{"opened by an event without an answer", workload.GateName,
			[]op{at(0, 1, started()), at(2, forever, op{Kind: opRaise, Result: unknown, Ends: true, Count: -1}), at(3, 4, saw("Completed"))}, true},
		{"terminated by nobody", workload.GateName, []op{started(), raised(accepted), saw("Terminated")}, false},
		{"terminated before the event", workload.GateName, []op{started(), killed(accepted), raised(gone), saw("Terminated")}, true},
		{"two ends", workload.GateName, []op{started(), raised(accepted), killed(accepted), saw("Completed"), saw("Terminated")}, false},
		{"an event acknowledged after the end", workload.GateName, []op{started(), killed(accepted), saw("Terminated"), raised(accepted)}, false},
		{"gone and nobody ended it", workload.GateName, []op{started(), sent(gone)}, false},
		{"gone and then running", workload.GateName, []op{started(), killed(accepted), raised(gone), saw("Running")}, false},
		{"an event for nothing", workload.GateName, []op{started(), raised(absent)}, false},
		{"a counter grows", workload.CounterName, []op{started(), shows(0), sent(accepted), shows(0), sent(accepted), shows(2), shows(2)}, true},
		{"a counter falls", workload.CounterName, []op{started(), sent(accepted), shows(1), shows(0)}, false},
		{"a counter of more than was sent", workload.CounterName, []op{started(), sent(accepted), shows(2)}, false},
		{"a promise counts", workload.CounterName,
			[]op{at(0, 1, started()), at(2, forever, op{Kind: opPromise, Result: unknown, Weight: 2, Count: -1}), at(3, 4, shows(2))}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ops []op
			for n, o := range tt.history {
				o.ID = "x"
				if o.Return == 0 {
					o.Call, o.Return = int64(10*n), int64(10*n+5)
				}
				ops = append(ops, o)
			}
			rec, dir := newRecorder(io.Discard), t.TempDir()
			checked, undecided := linearizable(rec, ops, []*instance{{ID: "x", Name: tt.of}}, dir)
			if checked != 1 || undecided != 0 {
				t.Errorf("checked %d, undecided %d, want 1, 0", checked, undecided)
			}
			if got := rec.found() == 0; got != tt.want {
				t.Errorf("linearizable: %v, want %v", got, tt.want)
			}
			for _, name := range []string{"illegal-x.html", "illegal-x.txt"} {
				if _, err := os.Stat(filepath.Join(dir, name)); (err != nil) != tt.want {
					t.Errorf("evidence: %v", err)
				}
			}
		})
	}
}
