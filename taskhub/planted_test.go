//go:build planted

package taskhub_test

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/internal/sim"
)

var simBug = flag.String("sim.bug", "", "the deliberate bug that TestSimulation plays with, by name")

// plant turns on the bug of the flags.
func plant(t *testing.T) {
	t.Helper()
	if *simBug == "" {
		return
	}
	n := slices.IndexFunc(planted.All(), func(b planted.Bug) bool { return b.String() == *simBug })
	if n < 0 {
		t.Fatalf("there is no bug %q", *simBug)
	}
	t.Cleanup(planted.Plant(planted.All()[n]))
}

// likely is the plan that shows a bug sooner than the swarm does, which plays it now and then.
var likely = map[planted.Bug]func(*rand.Rand) *sim.Plan{
	planted.NoGrace:             sim.Zombies,
	planted.StartsSleep:         sim.Idle,
	planted.NoWakeAt:            sim.Idle,
	planted.RollIgnored:         sim.Moves,
	planted.AckBeforeCommit:     sim.Moves,
	planted.ReadsWhileReleasing: sim.Releases,
}

// A simulator that finds nothing planted proves nothing (E§C13): each deliberate bug
// must be found among the seeds that CI plays, by one that finds nothing without it.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	if *simSeed != 0 {
		t.Skip("one seed is played")
	}
	for _, bug := range planted.All() {
		t.Run(bug.String(), func(t *testing.T) {
			draw := likely[bug]
			if draw == nil {
				draw = sim.Draw
			}
			uproot := planted.Plant(bug)
			found := make(chan sim.Result, 64)
			played := sweep(1, seedsInCI, draw, func(r sim.Result) bool {
				if r.Err != nil {
					found <- r
				}
				return r.Err != nil
			})
			uproot()
			if len(found) == 0 {
				t.Fatalf("%d seeds did not find it", played)
			}
			r := <-found
			t.Logf("%s: found by seed %d, %d seeds played: %v", bug, r.Seed, played, r.Err)
			if sound := sim.Run(r.Seed, draw, nil); sound.Err != nil {
				t.Errorf("seed %d finds something without the bug too: %v", r.Seed, sound.Err)
			}
		})
	}
}
