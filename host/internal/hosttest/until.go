package hosttest

import (
	"testing"
	"time"
)

// untilTimeout bounds what a test waits for. It is generous: the machine may be busy, or
// stand still for a while.
const untilTimeout = 2 * time.Minute

// Pauses between two looks grow: who waits for long must not take the processor from the
// hosts that it waits for.
const (
	leastPause = 5 * time.Millisecond
	mostPause  = 100 * time.Millisecond
)

// Until asks cond again and again until it holds; what says in words what is waited for.
// Real processes give no other event.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	pause := leastPause
	for deadline := time.Now().Add(untilTimeout); !cond(); pause = min(pause*5/4, mostPause) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", untilTimeout, what)
		}
		time.Sleep(pause)
	}
}
