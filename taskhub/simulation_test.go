package taskhub_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/internal/sim"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "how many seeds TestSimulation plays; 0: DURAFUNC_SIM_SEEDS, or a number for CI")
	simFirst = flag.Uint64("sim.first", 1, "the first seed that TestSimulation plays")
	simPlan  = flag.String("sim.plan", "swarm", "what seeds draw: swarm, zombies, releases, idle or moves")
	simSeed  = flag.Uint64("sim.seed", 0, "play this seed alone and print its whole trace")
	simFile  = flag.String("sim.digests", "", "a file that TestSimulation writes the digest of each seed's trace to: a change that only moves code keeps them all")
)

// seedsInCI take two to three minutes on two cores; seedsInShort are for the race detector,
// which has little to find: a world is one goroutine.
const (
	seedsInCI    = 2000
	seedsInShort = 20
)

func seeds(t *testing.T) int {
	t.Helper()
	if *simSeeds > 0 {
		return *simSeeds
	}
	if text := os.Getenv("DURAFUNC_SIM_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("DURAFUNC_SIM_SEEDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return seedsInShort
	}
	return seedsInCI
}

// sweep plays seeds on all cores, each world in one goroutine, until stop says that a
// result is enough. It returns how many were played.
func sweep(first uint64, n int, draw func(*rand.Rand) *sim.Plan, stop func(sim.Result) bool) int {
	// Worlds are small and short-lived: collecting less often is a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	var next, played atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !over.Load() {
				k := next.Add(1) - 1
				if k >= int64(n) {
					return
				}
				r := sim.Run(first+uint64(k), draw, nil)
				played.Add(1)
				if stop(r) {
					over.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return int(played.Load())
}

// few is n, or a tenth of it for the race detector.
func few(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

// plan is what seeds draw.
func plan() func(*rand.Rand) *sim.Plan {
	switch *simPlan {
	case "zombies":
		return sim.Zombies
	case "moves":
		return sim.Moves
	case "releases":
		return sim.Releases
	case "idle":
		return sim.Idle
	}
	return sim.Draw
}

func report(t *testing.T, r sim.Result) {
	t.Helper()
	t.Errorf("%v\nits last events:\n%s\n\nreplay it with: go test ./taskhub -run 'TestSimulation$' -sim.seed %d", r, r.Trace, r.Seed)
}

func TestSimulation(t *testing.T) {
	plant(t)
	if *simSeed != 0 {
		r := sim.Run(*simSeed, plan(), func(line string) { fmt.Println(line) })
		t.Log(r)
		if r.Err != nil {
			t.Error(r.Err)
		}
		return
	}
	var mu sync.Mutex
	var events, records uint64
	digests := map[uint64]uint64{}
	played := sweep(*simFirst, seeds(t), plan(), func(r sim.Result) bool {
		mu.Lock()
		defer mu.Unlock()
		events += r.Events
		records += uint64(r.Records)
		digests[r.Seed] = r.Hash
		if r.Err != nil && !t.Failed() {
			report(t, r)
		}
		return r.Err != nil
	})
	t.Logf("%d seeds, %d events, %d records", played, events, records)
	if *simFile != "" {
		writeDigests(t, *simFile, digests)
	}
}

// writeDigests writes one line a seed, in the order of the seeds, so that diff compares two
// versions of the code.
func writeDigests(t *testing.T, name string, digests map[uint64]uint64) {
	t.Helper()
	var b bytes.Buffer
	for _, seed := range slices.Sorted(maps.Keys(digests)) {
		fmt.Fprintf(&b, "%d %016x\n", seed, digests[seed])
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSimulationWithoutFaults(t *testing.T) {
	sweep(1, few(20), sim.Calm, func(r sim.Result) bool {
		if r.Err != nil {
			report(t, r)
		}
		return r.Err != nil
	})
}

// Hosts come and go in good order: no activity may run twice.
func TestSimulationOfMoves(t *testing.T) {
	sweep(1, few(40), sim.Moves, func(r sim.Result) bool {
		if r.Err != nil {
			report(t, r)
		}
		return r.Err != nil
	})
}

// Hours in which a hub has little to do: it sleeps, and wakes on time.
func TestSimulationIdle(t *testing.T) {
	sweep(1, few(40), sim.Idle, func(r sim.Result) bool {
		if r.Err != nil {
			report(t, r)
		}
		return r.Err != nil
	})
}

// A seed that did not replay would be no use: nothing may come from the outside.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := range uint64(few(8)) {
		a, b := sim.Run(seed, sim.Draw, nil), sim.Run(seed, sim.Draw, nil)
		if a.Hash != b.Hash || a.Events != b.Events {
			t.Errorf("one seed, two courses:\n%v\n%v", a, b)
		}
	}
}
