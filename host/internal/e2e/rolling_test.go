package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// fleet is hosts of one hub behind a load balancer, with clients that keep them busy.
type fleet struct {
	root  *hosttest.Root
	hosts []*hosttest.Host // of the test's own goroutine

	mu   sync.Mutex
	urls []string

	cancel  context.CancelFunc
	clients sync.WaitGroup
	turn    atomic.Int64
	seen    sync.Map // codes that clients met and that are no answer: *atomic.Int64 by int
	started atomic.Int64
	err     atomic.Pointer[error] // the first
}

// tickers run all the time, enough for every partition to have some.
const tickers = 3 * partitions

func newFleet(t *testing.T, s hosttest.Store) *fleet {
	t.Helper()
	f := &fleet{root: shared(t, s, shortLease)}
	f.hosts = startAll(t, f.root, 3)
	hosttest.UntilSpread(t, f.hosts...)
	f.balance()
	for n := range tickers {
		f.hosts[0].StartInstance(t, "Ticker", fmt.Sprint("ticker-", n), "{}")
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	for n := range 4 {
		f.clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := f.order(fmt.Sprintf("order-%d-%d", n, i)); err != nil {
					f.err.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		f.clients.Wait()
	})
	return f
}

// balance tells the clients where the hosts are.
func (f *fleet) balance() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.urls = nil
	for _, h := range f.hosts {
		f.urls = append(f.urls, h.URL())
	}
}

// next is the base of the next request.
func (f *fleet) next() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.urls[int(f.turn.Add(1))%len(f.urls)]
}

// order runs one small orchestration from start to end, each request through another host.
func (f *fleet) order(id string) error {
	if _, err := f.send("POST", client.StartPath("Chain", id), "2", id, http.StatusAccepted); err != nil {
		return err
	}
	f.started.Add(1)
	for {
		code, err := f.send("GET", client.InstancePath(id), nil, "", http.StatusOK, http.StatusAccepted)
		if err != nil || code == http.StatusOK {
			return err
		}
		time.Sleep(lookAgain) // a client that does nothing but ask takes the processor from the hosts
	}
}

const (
	orderTimeout = 2 * time.Minute       // for one request with its repetitions
	lookAgain    = 10 * time.Millisecond // between two looks at an order
)

// send sends a request as a load balancer does: on to the next host when one does not take
// it. Each repetition has the same request id. An answer with another code is an error.
func (f *fleet) send(method, path string, body any, key string, want ...int) (int, error) {
	through := hosttest.Client{Base: f.next, Header: http.Header{}}
	if key != "" {
		through.Header.Set("Idempotency-Key", key)
	}
	for deadline := time.Now().Add(orderTimeout); ; {
		a, err := through.Do(context.Background(), method, path, body)
		if err == nil {
			for _, code := range want {
				if a.Code == code {
					return code, nil
				}
			}
			if a.Code != http.StatusServiceUnavailable {
				return 0, fmt.Errorf("%s %s: %d %s", method, path, a.Code, a.Body)
			}
			f.count(a.Code) // a partition was away for longer than a host holds a request
		} else {
			// A connection that was accepted by the kernel and not yet by the host is reset
			// when it ends; a balancer goes on to the next host then, too.
			if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
				f.count(0)
			} else {
				f.count(cut)
			}
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%s %s: no answer within %v: %w", method, path, orderTimeout, err)
		}
	}
}

func (f *fleet) count(code int) {
	n, _ := f.seen.LoadOrStore(code, &atomic.Int64{})
	n.(*atomic.Int64).Add(1)
}

// work lets the clients finish so many orders more, and fails the test when one has failed.
func (f *fleet) work(t *testing.T, orders int64) {
	t.Helper()
	until := f.started.Load() + orders
	hosttest.Until(t, "the clients go on", func() bool {
		f.check(t)
		return f.started.Load() >= until
	})
}

func (f *fleet) check(t *testing.T) {
	t.Helper()
	if err := f.err.Load(); err != nil {
		t.Fatal(*err)
	}
}

// finish ends the load and checks that all that was acknowledged is there. It returns the
// longest pause of an orchestration or of a request, as far as clients can tell.
func (f *fleet) finish(t *testing.T) time.Duration {
	t.Helper()
	f.cancel()
	f.clients.Wait()
	f.check(t)
	var worst time.Duration
	for n := range tickers {
		id := fmt.Sprint("ticker-", n)
		f.hosts[n%len(f.hosts)].Raise(t, id, "Stop", nil)
		var out struct {
			Ticks int
			Worst time.Duration
		}
		f.hosts[(n+1)%len(f.hosts)].Output(t, id, &out)
		if worst = max(worst, out.Worst); out.Ticks == 0 {
			t.Errorf("%s has not ticked", id)
		}
	}
	f.seen.Range(func(code, n any) bool {
		t.Logf("answers with code %v (0: none, %d: cut): %d", code, cut, n.(*atomic.Int64).Load())
		return true
	})
	t.Logf("%d orders; the longest pause of an orchestration was %v", f.started.Load(), worst)
	for _, h := range f.hosts {
		h.Stop(t)
	}
	for _, code := range []int{cut, http.StatusServiceUnavailable} { // too late for the client, or for the host
		if _, failed := f.seen.Load(code); failed {
			worst = max(worst, held+1)
		}
	}
	return worst
}

// cut stands for a connection that was closed before the answer.
const cut = -1

// held is how long a host holds a request for a partition that is away, before it says so.
const held = 5 * time.Second

// TestRollingRestart stops and starts one host after the other under load: no request
// fails, and orchestrations pause for a moment at most. How much time that takes is also
// the machine's affair, and a request that waits for too long fails.
func TestRollingRestart(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		hosttest.Within(t, "the longest pause", held, func() time.Duration {
			f := newFleet(t, s.Again(t))
			for i := range f.hosts {
				f.work(t, 10)
				f.hosts[i].Stop(t)
				f.work(t, 10)
				f.hosts[i] = f.root.Start(t)
				f.balance()
			}
			f.work(t, 10)
			return f.finish(t)
		})
	})
}

// TestKillUnderLoad kills one host after the other: what was acknowledged is there, and
// ends, for clients that repeat a request whose answer is lost.
func TestKillUnderLoad(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		f := newFleet(t, s)
		for i := range f.hosts {
			f.work(t, 10)
			f.hosts[i].Kill()
			f.work(t, 10)
			f.hosts[i] = f.root.Start(t)
			f.balance()
		}
		f.work(t, 10)
		f.finish(t)
	})
}
