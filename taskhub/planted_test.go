//go:build planted

package taskhub_test

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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
	planted.AbsentMeansNever:    lostAnswers,
	planted.BelieveDamage:       damage,
	planted.EarlyTimer:          sim.Calm,
	planted.FrozenAnswers:       sim.Zombies,
	planted.HeldForGood:         fullOutboxes,
	planted.NoGrace:             sim.Zombies,
	planted.StartsSleep:         sim.Idle,
	planted.NoWakeAt:            sim.Idle,
	planted.InFlightIgnored:     sim.Moves,
	planted.AckBeforeCommit:     slowMoves,
	planted.ReadsWhileReleasing: sim.Releases,
}

// lostAnswers lets many writes fail, half of those that land do so late.
func lostAnswers(rng *rand.Rand) *sim.Plan {
	p := sim.Draw(rng)
	p.Weather.Writes.FailAfter, p.Weather.Writes.FailLate = 0.15, 0.15
	return p
}

// damage lets many answers of the bucket come damaged, to hosts that crash.
func damage(rng *rand.Rand) *sim.Plan {
	p := sim.Calm(rng)
	p.Weather.Damaged, p.Stormy, p.Crashes = 0.2, 3*time.Minute, time.Minute
	return p
}

// fullOutboxes leaves little room for messages.
func fullOutboxes(rng *rand.Rand) *sim.Plan {
	p := sim.Draw(rng)
	p.Limits.OutboxMessages = 1 + rng.IntN(3)
	return p
}

// slowMoves lets partitions that move stay without an owner for a while, in which other
// hosts come to the end of what they run.
func slowMoves(rng *rand.Rand) *sim.Plan {
	p := sim.Moves(rng)
	p.Spread, p.Weather.SlowRoots = true, 0.5
	return p
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
