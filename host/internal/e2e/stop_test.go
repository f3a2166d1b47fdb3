package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// replayed matches how many log records a host replayed when it opened a partition.
var replayed = regexp.MustCompile(`partition opened: .*partition=(\d+).*replayed=(\d+)`)

// TestStopUnderLoad: SIGTERM while orchestrations are at work ends the host in good
// order, and the next one goes on where it was without replaying the log.
func TestStopUnderLoad(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r := deployed(t, s, testApp, nil)
		h := r.Start(t)
		const chains, steps = 30, 100
		for n := range chains {
			h.StartInstance(t, "Chain", fmt.Sprint("chain-", n), steps)
		}
		h.Stop(t)
		if !strings.Contains(h.Log(), "durafunc: stopped") {
			t.Errorf("the log does not say that it has stopped:\n%s", h.Tail(10))
		}
		h = r.Start(t)
		for n := range chains {
			var sum int
			if h.Output(t, fmt.Sprint("chain-", n), &sum); sum != steps {
				t.Errorf("chain %d ends with %d, want %d", n, sum, steps)
			}
		}
		found := replayed.FindAllStringSubmatch(h.Log(), -1)
		if len(found) == 0 {
			t.Fatalf("no partition was opened:\n%s", h.Log())
		}
		opened := map[string]bool{}
		for _, m := range found {
			if opened[m[1]] {
				continue // again: it had lost its lease, on a machine that stood still
			}
			opened[m[1]] = true
			if n, err := strconv.Atoi(m[2]); err != nil || n > 10 {
				t.Errorf("after a stop in good order %s", m[0])
			}
		}
		h.Stop(t)
		audit(t, s, r)
	})
}

// TestSecondSignalEndsAtOnce: who is in a hurry does not wait for work that takes long;
// nothing is lost then either.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := deployed(t, hosttest.File(), testApp, nil)
	h := r.Start(t)
	h.StartInstance(t, "Hang", "hang", "null")
	for try := 1; ; try++ {
		h.UntilStatus(t, "hang", "Running")
		h.Signal(syscall.SIGTERM)
		hosttest.Until(t, "the host says that it stops", func() bool { return strings.Contains(h.Log(), "once more ends at once") })
		h.Signal(syscall.SIGTERM)
		code := h.Wait(t)
		if code == 1 && strings.Contains(h.Log(), "ended at once") {
			break
		}
		if code != 0 || try == 5 { // 0: it had stopped before the signal came, the machine is busy
			t.Fatalf("exit code %d, the host did not take the second signal:\n%s", code, h.Tail(10))
		}
		h = r.Start(t)
	}
	h = r.Start(t)
	h.UntilStatus(t, "hang", "Running")
}

// TestStopDoesNotWaitForLongWork: what takes longer is done again by the next host.
func TestStopDoesNotWaitForLongWork(t *testing.T) {
	t.Parallel()
	r := deployed(t, hosttest.File(), testApp, nil)
	h := r.Start(t)
	h.StartInstance(t, "Hang", "hang", "null")
	h.UntilStatus(t, "hang", "Running")
	h.Stop(t) // its deadline is that of the activity
	h = r.Start(t)
	h.UntilStatus(t, "hang", "Running")
}
