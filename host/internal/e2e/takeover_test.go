package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// shortLease is the lease of the tests that wait for its end. longLease is so long that
// a takeover within half of it cannot be due to its end, and that no partition moves for
// the sake of balance meanwhile.
const (
	shortLease = 3 * time.Second
	longLease  = 4 * time.Minute
)

// partitions is how many the hubs have that several hosts share, whatever the store.
const partitions = 4

// waiters are instances of Child that wait for the event Go: enough of them for every
// partition to have some.
var waiters = func() []string {
	var ids []string
	for n := range 4 * partitions {
		ids = append(ids, fmt.Sprint("waiter-", n))
	}
	return ids
}()

// shared is a root whose hub has several partitions.
func shared(t *testing.T, s hosttest.Store, leaseDuration time.Duration) *hosttest.Root {
	t.Helper()
	return deployed(t, s.With("leaseDuration", leaseDuration.String()).With("partitionCount", partitions), testApp, nil)
}

// startAll starts so many hosts on a root at once.
func startAll(t *testing.T, root *hosttest.Root, n int) []*hosttest.Host {
	t.Helper()
	hosts := make([]*hosttest.Host, n)
	for i := range hosts {
		hosts[i] = root.Launch(t)
	}
	for _, h := range hosts {
		h.UntilReady(t)
	}
	return hosts
}

// oneOfThree starts a host, which serves all partitions, the waiters, and two more hosts,
// which serve none as long as the first one lives and a long lease has not passed.
func oneOfThree(t *testing.T, s hosttest.Store) []*hosttest.Host {
	t.Helper()
	root := shared(t, s, longLease)
	first := root.Start(t)
	startWaiters(t, first)
	hosts := append([]*hosttest.Host{first}, startAll(t, root, 2)...)
	hosttest.Until(t, "all hosts know that the first one serves", func() bool {
		spread, err := hosttest.AskSpread(t.Context(), hosts...)
		return err == nil && spread.Has(0) == partitions
	})
	return hosts
}

// startWaiters also waits until all of them wait.
func startWaiters(t *testing.T, h *hosttest.Host) {
	t.Helper()
	for _, id := range waiters {
		h.StartInstance(t, "Child", id, "null")
	}
	for _, id := range waiters {
		h.UntilStatus(t, id, "Running")
	}
}

// untilServing waits until h, or whom it asks, answers for every waiter, and says since when.
func untilServing(t *testing.T, h *hosttest.Host, since time.Time) time.Duration {
	t.Helper()
	errs := make([]error, len(waiters))
	var all sync.WaitGroup
	for i, id := range waiters {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), longLease)
			defer cancel()
			s, err := h.Get(ctx, id)
			if err == nil && s.Status != client.StatusRunning {
				err = fmt.Errorf("%s is %s, want Running", id, s.Status)
			}
			errs[i] = err
		})
	}
	all.Wait()
	took := time.Since(since)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return took
}

func finishWaiters(t *testing.T, hosts ...*hosttest.Host) {
	t.Helper()
	for i, id := range waiters {
		hosts[i%len(hosts)].Raise(t, id, "Go", `"done"`)
	}
	for i, id := range waiters {
		var out string
		if hosts[(i+1)%len(hosts)].Output(t, id, &out); out != "done" {
			t.Errorf("output of %s is %q, want done", id, out)
		}
	}
}

// TestTakeoverAtOnce: a host that is stopped hands its partitions over; one that is killed
// is proven dead by its lock file. In neither case does anybody wait for its lease, and
// the two that are left share what it had.
func TestTakeoverAtOnce(t *testing.T) {
	t.Parallel()
	ends := map[string]func(t *testing.T, h *hosttest.Host){
		"stop": func(t *testing.T, h *hosttest.Host) { h.Stop(t) },
		"kill": func(_ *testing.T, h *hosttest.Host) { h.Kill() },
	}
	for end, how := range ends {
		t.Run(end, func(t *testing.T) {
			hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
				hosts := oneOfThree(t, s)
				began := time.Now()
				how(t, hosts[0])
				ended, left := time.Since(began), hosts[1:]
				for _, h := range left {
					if took := untilServing(t, h, began); took > longLease/2 {
						t.Errorf("the others serve after %v", took)
					} else {
						t.Logf("served again after %v, the host's end took %v of it", took, ended)
					}
				}
				hosttest.UntilSpread(t, left...)
				if took := time.Since(began); took > longLease {
					t.Errorf("they share after %v: by balance, not by the takeover", took)
				}
				finishWaiters(t, left...)
			})
		})
	}
}

// forgetLocks removes the lock files of the hosts, who might be on different machines then.
func forgetLocks(t *testing.T, r *hosttest.Root) {
	t.Helper()
	locks := r.Glob(".durafunc/host/*.lock")
	if len(locks) == 0 {
		t.Error("the hosts have no lock files")
	}
	for _, l := range locks {
		must(t, os.Remove(l))
	}
}

// takeoverAfterTheLease kills one of three hosts that nobody can prove to be dead.
func takeoverAfterTheLease(t *testing.T, root *hosttest.Root) {
	t.Helper()
	hosts := startAll(t, root, 3)
	startWaiters(t, hosts[0])
	hosttest.Within(t, "the others serve after", shortLease+2*time.Second, func() time.Duration {
		if len(hosts) < 3 { // this is another try
			hosts = append(hosts, root.Start(t))
		}
		before := hosttest.UntilSpread(t, hosts...)
		forgetLocks(t, root)
		hosts[0].Kill()
		took := untilServing(t, hosts[1], time.Now())
		hosts = hosts[1:]
		if after := hosttest.UntilSpread(t, hosts...); after.Moves(before) < before.Has(0) {
			t.Errorf("the epochs were %v, and are %v", before.Epochs, after.Epochs)
		}
		// It is renewed at a third: the host died within that after its last renewal, unless
		// the machine stood still.
		if took < shortLease/3 {
			t.Logf("the others serve after %v, without a proof that the first is dead", took)
			return longLease
		}
		return took
	})
	finishWaiters(t, hosts...)
	for _, h := range hosts {
		h.Stop(t)
	}
}

func TestTakeoverAfterTheLease(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		takeoverAfterTheLease(t, shared(t, s, shortLease))
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
	must(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	must(t, req.Write(conn))
	return func() (*http.Response, error) { return http.ReadResponse(bufio.NewReader(conn), req) }
}

// freeze stops a host's process until the test's end, or until it goes on, at a moment when
// it holds no lock of an embedded store: one that is frozen with a lock keeps the others from
// what the lock is for, for as long as it is frozen.
func freeze(t *testing.T, root *hosttest.Root, h *hosttest.Host) {
	t.Helper()
	t.Cleanup(func() { h.Signal(syscall.SIGCONT) })
	hosttest.Until(t, "the host is frozen without a lock", func() bool {
		h.Signal(syscall.SIGSTOP)
		for range 2 { // the signal takes a moment to reach every thread
			for _, path := range root.Glob(".durafunc/store/~lock/*") {
				if !lockIsGivenBack(t, path) {
					h.Signal(syscall.SIGCONT)
					return false
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		return true
	})
}

// lockIsGivenBack waits for the lock on a file, as long as one that lives may keep it.
func lockIsGivenBack(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close() // gives the lock back
	for deadline := time.Now().Add(500 * time.Millisecond); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || time.Now().After(deadline) {
			return err == nil
		}
		time.Sleep(time.Millisecond)
	}
}

// TestFrozenHostAcknowledgesNothingStale: what a host had when it froze is another's when
// it goes on. Whatever it answers then is the other one's answer; and it joins again, and
// gets its share.
func TestFrozenHostAcknowledgesNothingStale(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		root := shared(t, s, shortLease)
		hosts := startAll(t, root, 3)
		frozen, others := hosts[0], hosts[1:]
		startWaiters(t, frozen)
		before := hosttest.UntilSpread(t, hosts...)
		freeze(t, root, frozen)
		untilServing(t, others[0], time.Now())
		finishWaiters(t, others...)

		// Only now: an answer to an older question might rightly be an older state.
		type answer = func() (*http.Response, error)
		status, event, start := map[string]answer{}, map[string]answer{}, map[string]answer{}
		for i, id := range waiters {
			status[id] = ask(t, frozen, http.MethodGet, client.InstancePath(id), "")
			event[id] = ask(t, frozen, http.MethodPost, client.InstancePath(id, "raiseEvent", "Go"), `"stale"`)
			started := fmt.Sprint("started-", i)
			start[started] = ask(t, frozen, http.MethodPost, client.StartPath("Sleep", started), "1")
		}
		frozen.Signal(syscall.SIGCONT)
		codes := map[int]int{}
		each := func(answers map[string]answer, judge func(id string, code int)) {
			for id, answer := range answers {
				a, err := answer()
				if err != nil {
					codes[0]++ // the connection was cut: nothing is acknowledged
					continue
				}
				codes[a.StatusCode]++
				judge(id, a.StatusCode)
			}
		}
		each(status, func(id string, code int) {
			if code != http.StatusOK && code != http.StatusServiceUnavailable {
				t.Errorf("the frozen host shows a state of %s that is gone: %d", id, code)
			}
		})
		each(event, func(id string, code int) {
			if code != http.StatusGone && code != http.StatusServiceUnavailable {
				t.Errorf("the frozen host answers an event to %s, which has ended, with %d", id, code)
			}
		})
		each(start, func(id string, code int) {
			if code == http.StatusAccepted {
				others[1].UntilStatus(t, id, "Completed")
			}
		})
		t.Logf("answers by code: %v", codes)
		// It is a host like any other again.
		after := hosttest.UntilSpread(t, hosts...)
		if after.Sessions[0] == before.Sessions[0] {
			t.Error("the frozen host goes on under its old session")
		}
		frozen.StartInstance(t, "Chain", "after", "3")
		frozen.UntilStatus(t, "after", "Completed")
		for _, h := range hosts {
			h.Stop(t)
		}
	})
}
