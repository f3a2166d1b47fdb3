package e2e

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/hosttest"
	"github.com/durafunc/durafunc/taskhub/lease"
)

// shortLease is the lease of the tests that wait for its end. longLease is so long that
// a takeover within half of it cannot be due to its end.
const (
	shortLease = 3 * time.Second
	longLease  = 30 * time.Second
)

// pair starts two hosts on one root and an instance of Child, named "child", that waits
// for the event Go. The first host serves, the second one waits.
func pair(t *testing.T, s hosttest.Store, leaseDuration time.Duration) (root *hosttest.Root, first, second *hosttest.Host) {
	t.Helper()
	root = deployed(t, s.With("leaseDuration", leaseDuration.String()), testApp, nil)
	first = root.Start(t)
	first.StartInstance(t, "Child", "child", "null")
	first.UntilStatus(t, "child", "Running")
	second = root.Start(t)
	untilWaiting(t, second)
	return root, first, second
}

// waiting says whether a host tells that it waits for another one's partitions.
func waiting(t *testing.T, h *hosttest.Host) bool {
	t.Helper()
	return slices.ContainsFunc(h.HostErrors(t), func(e string) bool {
		return strings.HasPrefix(e, "partition 0 is waiting: owned by session ")
	})
}

func untilWaiting(t *testing.T, h *hosttest.Host) {
	t.Helper()
	hosttest.Until(t, "the host waits for the owner of partition 0", func() bool { return waiting(t, h) })
}

// untilServing waits until h knows the instance "child", and says since when.
func untilServing(t *testing.T, h *hosttest.Host, since time.Time) time.Duration {
	t.Helper()
	h.UntilStatus(t, "child", "Running")
	return time.Since(since)
}

func finishChild(t *testing.T, h *hosttest.Host) {
	t.Helper()
	h.Raise(t, "child", "Go", `"done"`)
	var out string
	if h.Output(t, "child", &out); out != "done" {
		t.Errorf("output is %q, want done", out)
	}
}

func TestTakeoverAfterKillOnTheSameMachine(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		_, first, second := pair(t, s, longLease)
		first.Kill()
		// The lock file proves the death: nobody waits for the lease.
		if took := untilServing(t, second, time.Now()); took > longLease/2 {
			t.Errorf("the second host serves after %v", took)
		} else {
			t.Logf("served again after %v", took)
		}
		if waiting(t, second) {
			t.Error("the second host says that it waits, and serves")
		}
		finishChild(t, second)
	})
}

// sessionOf is the session object of a host.
func sessionOf(t *testing.T, s hosttest.Store, r *hosttest.Root, h *hosttest.Host) lease.Record {
	t.Helper()
	store := s.Open(t, r)
	for e, err := range store.List(t.Context(), "session/", "") {
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := store.Get(t.Context(), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		var record lease.Record
		if err := json.Unmarshal(b, &record); err != nil {
			t.Fatal(err)
		}
		if record.PID == h.PID() {
			return record
		}
	}
	t.Fatalf("host %d has no session", h.PID())
	return lease.Record{}
}

func TestTakeoverAfterTheLease(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		root, first, second := pair(t, s, shortLease)
		// Without its lock file the first host might run on another machine.
		if err := os.Remove(sessionOf(t, s, root, first).Lock); err != nil {
			t.Fatal(err)
		}
		first.Kill()
		took := untilServing(t, second, time.Now())
		t.Logf("served again after %v", took)
		if took > shortLease+2*time.Second {
			t.Errorf("the second host serves after %v, want at most the lease of %v and 2 s", took, shortLease)
		}
		// It is renewed at a third: the host died within that after its last renewal.
		if took < shortLease/3 {
			t.Errorf("the second host serves after %v, without a proof that the first is dead", took)
		}
		finishChild(t, second)
	})
}

func TestTakeoverAfterStopDoesNotWait(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		_, first, second := pair(t, s, longLease)
		first.Stop(t)
		if took := untilServing(t, second, time.Now()); took > longLease/2 {
			t.Errorf("the second host serves after %v", took)
		}
		finishChild(t, second)
	})
}

// ask sends a request and does not wait for the answer: the host may be frozen. What it
// returns reads the answer, whose body is closed at the test's end.
func ask(t *testing.T, h *hosttest.Host, method, path, body string) func() (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.URL()+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	conn, err := net.Dial("tcp", req.URL.Host) // its kernel accepts
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	must(t, req.Write(conn))
	return func() (*http.Response, error) { return http.ReadResponse(bufio.NewReader(conn), req) }
}

func TestFrozenHostAcknowledgesNothingStale(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		_, first, second := pair(t, s, shortLease)
		first.Signal(syscall.SIGSTOP)
		t.Cleanup(func() { first.Signal(syscall.SIGCONT) })
		untilServing(t, second, time.Now())
		finishChild(t, second)

		// Only now: an answer to an older question might rightly be an older state.
		answers := map[string]func() (*http.Response, error){
			"status": ask(t, first, http.MethodGet, hosttest.InstancePath("child"), ""),
			"start":  ask(t, first, http.MethodPost, hosttest.StartPath("Sleep", "started"), "1"),
			"event":  ask(t, first, http.MethodPost, hosttest.InstancePath("child", "raiseEvent", "Go"), `"stale"`),
		}
		first.Signal(syscall.SIGCONT)
		for what, answer := range answers {
			a, err := answer()
			if err != nil {
				t.Logf("%s: %v", what, err) // the connection was cut: nothing is acknowledged
				continue
			}
			t.Logf("%s: %s", what, a.Status)
			switch {
			case what == "status" && a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusOK:
				t.Errorf("the frozen host shows a state that is gone: %s", a.Status)
			case what == "start" && a.StatusCode == http.StatusAccepted:
				second.UntilStatus(t, "started", "Completed")
			case what == "event" && a.StatusCode == http.StatusAccepted:
				t.Error("the frozen host acknowledges an event to an instance that has ended")
			}
		}
		untilWaiting(t, first)
		// It is a host like any other again.
		second.Kill()
		hosttest.Until(t, "the first host serves again", func() bool { return !waiting(t, first) })
		first.UntilStatus(t, "child", "Completed")
		first.StartInstance(t, "Chain", "after", "3")
		first.UntilStatus(t, "after", "Completed")
		first.Stop(t)
	})
}
