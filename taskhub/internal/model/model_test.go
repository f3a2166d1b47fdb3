package model

import (
	"flag"
	"strings"
	"testing"
)

var large = flag.Bool("model.large", false, "search the large bounds too: minutes, 1.5 GB")

// world is one search in which nothing may go wrong.
type world struct {
	name   string
	rules  func(r *Rules)
	bounds Bounds
}

func sound(*Rules) {}

// Grace or expiry is enough (E§C3.1). Grace alone needs the look at the lease when the
// answer is there, expiry alone does not.
func graceAlone(r *Rules)  { r.Expiry = false }
func expiryAlone(r *Rules) { r.Grace, r.CheckAnswer = false, false }

var worlds = []world{
	{"takeovers", sound, Bounds{Slots: 5, Ops: 2, Epochs: 3, Sessions: 2, Puts: 1}},
	{"checkpoints and trimming", sound, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1}},
	{"a damaged checkpoint", sound, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1, Damage: 1}},
	{"grace alone", graceAlone, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1}},
	{"grace alone, tables", graceAlone, Bounds{Slots: 4, Ops: 1, Epochs: 2, Files: 3, Sessions: 1, Puts: 1}},
	{"expiry alone", expiryAlone, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1}},
	{"expiry alone, tables", expiryAlone, Bounds{Slots: 4, Ops: 1, Epochs: 2, Files: 3, Sessions: 1, Puts: 1}},
}

var largeWorlds = []world{
	{"takeovers, late PUTs of two records", sound, Bounds{Slots: 5, Ops: 3, Epochs: 3, Sessions: 2, Puts: 2}},
	{"checkpoints of restarted hosts", sound, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 2, Puts: 1}},
	{"three epochs with checkpoints", sound, Bounds{Slots: 4, Ops: 2, Epochs: 3, Files: 2, Sessions: 1, Puts: 1}},
	{"three epochs, grace alone", graceAlone, Bounds{Slots: 4, Ops: 2, Epochs: 3, Files: 2, Sessions: 1, Puts: 1}},
	{"three epochs, expiry alone", expiryAlone, Bounds{Slots: 4, Ops: 2, Epochs: 3, Files: 2, Sessions: 1, Puts: 1}},
	{"three operations, grace alone", graceAlone, Bounds{Slots: 5, Ops: 3, Epochs: 2, Files: 2, Sessions: 1, Puts: 2}},
	{"a damaged checkpoint, grace alone", graceAlone, Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1, Damage: 1}},
	{"three checkpoints", sound, Bounds{Slots: 5, Ops: 2, Epochs: 3, Files: 3, Sessions: 1, Puts: 1}},
}

// Within the bounds no invariant is ever violated, and every action has its turn.
func TestNoStateViolatesAnInvariant(t *testing.T) {
	all := worlds
	if testing.Short() {
		all = worlds[6:] // the race detector makes it ten times as slow
	}
	if *large {
		all = append(all, largeWorlds...)
	}
	states := 0
	var taken [actions]int
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			rules := Sound()
			w.rules(&rules)
			r := Search(rules, w.bounds, 0)
			if r.Wrong != nil {
				t.Fatalf("%v\n%s", r.Wrong, strings.Join(r.Trace, "\n"))
			}
			t.Logf("%d states, %d steps between them, up to %d deep", r.States, r.Steps, r.Depth)
			if !r.Whole {
				t.Error("the search ended early")
			}
			states += r.States
			for a, n := range r.Taken {
				taken[a] += n
			}
		})
	}
	t.Logf("%d states in all", states)
	if testing.Short() || t.Failed() {
		return
	}
	if states < 1_000_000 {
		t.Errorf("only %d states", states)
	}
	for a, n := range taken {
		if n == 0 {
			t.Errorf("never in any world: %s", actionNames[a])
		}
	}
}

// A search that is cut short says so.
func TestSearchSaysWhenItDidNotSeeEverything(t *testing.T) {
	r := Search(Sound(), worlds[0].bounds, 1000)
	if r.Whole || r.States < 1000 || r.Wrong != nil {
		t.Errorf("whole: %v, %d states, %v", r.Whole, r.States, r.Wrong)
	}
}
