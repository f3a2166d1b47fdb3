package taskhub_test

import (
	"testing"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/internal/sim"
)

// A simulator that finds nothing planted proves nothing (E§C13): each deliberate bug
// must be found among the seeds that CI plays.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	if *simSeed != 0 {
		t.Skip("one seed is played")
	}
	if testing.Short() {
		t.Skip("minutes under the race detector, which has nothing to find here: a world is one goroutine")
	}
	for _, bug := range planted.All() {
		t.Run(bug.String(), func(t *testing.T) {
			defer planted.Plant(bug)()
			found := make(chan sim.Result, 64)
			played := sweep(1, seedsInCI, sim.Draw, func(r sim.Result) bool {
				if r.Err != nil {
					found <- r
				}
				return r.Err != nil
			})
			if len(found) == 0 {
				t.Fatalf("%d seeds did not find it", played)
			}
			r := <-found
			t.Logf("%s: found by seed %d, %d seeds played: %v", bug, r.Seed, played, r.Err)
		})
	}
}
