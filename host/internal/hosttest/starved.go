package hosttest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Signs of a machine that could not do what it was asked to.
const (
	watchEvery = 50 * time.Millisecond
	gapMost    = 500 * time.Millisecond // between two looks of a goroutine that does nothing else
	idleLeast  = 0.1                    // of the processors' time; below it processes wait for each other
)

// tries is how often a test tries to stay below a bound. No starvation explains a time of
// more than hopeless times the bound, every time.
const (
	tries    = 3
	hopeless = 10
)

// Within fails the test when what try measures is above most each time, unless the
// machine was starved the last time. try may fail the test by itself, for all that has
// nothing to do with time.
func Within(t testing.TB, what string, most time.Duration, try func() time.Duration) {
	t.Helper()
	for n := 1; ; n++ {
		starved := watchMachine()
		took := try()
		why := starved()
		t.Logf("%s: %v", what, took)
		switch {
		case took <= most:
			return
		case n < tries:
			t.Logf("that is above %v, so once more; the machine: %s", most, orWell(why))
		case why != "" && took <= hopeless*most:
			t.Logf("that is above %v, which says nothing: %s", most, why)
			return
		default:
			t.Errorf("%s: %v, want at most %v, in each of %d attempts; the machine: %s", what, took, most, tries, orWell(why))
			return
		}
	}
}

func orWell(why string) string {
	if why == "" {
		return "had time to spare"
	}
	return why
}

// watchMachine watches until the function that it returns is called, which says how the
// machine was starved meanwhile; empty if it was not.
func watchMachine() func() string {
	busy, idle := processorTimes()
	var longest time.Duration
	var done sync.WaitGroup
	stop := make(chan struct{})
	done.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			now := time.Now()
			longest, last = max(longest, now.Sub(last)), now
		}
	})
	return func() string {
		close(stop)
		done.Wait()
		busyNow, idleNow := processorTimes()
		if longest > gapMost {
			return fmt.Sprintf("the test itself stood still for %v", longest)
		}
		if all := busyNow - busy + idleNow - idle; all > 0 && float64(idleNow-idle) < idleLeast*float64(all) {
			return fmt.Sprintf("its processors were idle for %.0f %% of the time", 100*float64(idleNow-idle)/float64(all))
		}
		return ""
	}
}

// processorTimes is the time that processors have had and not had something to do since
// the machine began, in ticks; zero where there is no proc file system.
func processorTimes() (busy, idle int64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	for n, field := range bytes.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal; what follows is part of user.
		v, err := strconv.ParseInt(string(field), 10, 64)
		switch {
		case err != nil || n > 8:
		case n == 4:
			idle += v
		default: // waiting for a slow disk is no idleness either
			busy += v
		}
	}
	return busy, idle
}
