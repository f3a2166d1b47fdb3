package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// crashPlan is how hard a crash test is.
type crashPlan struct {
	orders, kills int
	life          time.Duration // the most between a start and the kill that follows
	deadline      time.Duration // for all orders to end
}

func planned() crashPlan {
	if long() {
		return crashPlan{orders: 200, kills: 20, life: 3 * time.Second, deadline: 30 * time.Minute}
	}
	return crashPlan{orders: 24, kills: 4, life: 1500 * time.Millisecond, deadline: 8 * time.Minute}
}

// seedEnv repeats a crash test with the kill moments of another run.
const seedEnv = "DURAFUNC_CHAOS_SEED"

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("seed: %s=%d", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// crew drives all orders of a crash test. They come in waves, one for each life of what
// is killed, so that every kill meets orders in all stages.
type crew struct {
	url    atomic.Pointer[string] // of the living host; nil: there is none
	waves  []chan struct{}        // closed when a wave may start
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // the first; read after done
	count  int   // instances that the orders make
}

// nowhere is where nobody listens.
const nowhere = "http://127.0.0.1:1"

func newCrew(t *testing.T, plan crashPlan, rng *rand.Rand) *crew {
	t.Helper()
	c := &crew{done: make(chan struct{})}
	ctx, stop := context.WithTimeout(t.Context(), plan.deadline)
	ctx, c.cancel = context.WithCancelCause(ctx)
	through := hosttest.Client{Base: func() string {
		if url := c.url.Load(); url != nil {
			return *url
		}
		return nowhere
	}}
	for range plan.kills + 1 {
		c.waves = append(c.waves, make(chan struct{}))
	}
	var atWork sync.WaitGroup
	for n := range plan.orders {
		o := newOrder(through, n, 1+rng.IntN(3))
		c.count += 1 + o.devices
		wave := c.waves[n*len(c.waves)/plan.orders]
		atWork.Go(func() {
			select {
			case <-wave:
			case <-ctx.Done():
				return
			}
			if err := o.run(ctx); err != nil {
				c.cancel(err)
			}
		})
	}
	go func() {
		atWork.Wait()
		c.err = context.Cause(ctx)
		stop()
		close(c.done)
	}()
	t.Cleanup(func() {
		c.cancel(context.Canceled)
		<-c.done
	})
	return c
}

// sleep lets the crew work for d, and fails the test at once when an order has failed.
func (c *crew) sleep(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-c.done:
		if c.err != nil {
			t.Fatal(c.err)
		}
	case <-time.After(d):
	}
}

// finish waits for the end of all orders.
func (c *crew) finish(t *testing.T) {
	t.Helper()
	<-c.done
	if c.err != nil && !errors.Is(c.err, context.Canceled) {
		t.Fatal(c.err)
	}
}

// serveBy makes h the crew's host once it is ready.
func (c *crew) serveBy(h *hosttest.Host) {
	go func() {
		select {
		case <-h.Ready():
			url := h.URL()
			c.url.Store(&url)
		case <-h.Exited():
		}
	}()
}

// TestCrashHost kills the host at random moments, also while it starts or recovers, and
// starts it again on the same root. Every order that was acknowledged ends with the
// right report, and no history is ever taken back.
func TestCrashHost(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		plan, rng := planned(), seeded(t)
		root := deployed(t, s, provisioningApp, nil)
		crew := newCrew(t, plan, rng)
		for life := range plan.kills {
			h := root.Launch(t)
			crew.serveBy(h)
			close(crew.waves[life])
			crew.sleep(t, time.Duration(rng.Int64N(int64(plan.life))))
			crew.url.Store(nil)
			h.Kill()
		}
		h := root.Launch(t)
		crew.serveBy(h)
		close(crew.waves[plan.kills])
		crew.finish(t)
		h.Stop(t)
		if got := audit(t, s, root); got != crew.count {
			t.Errorf("the hub has %d instances, want %d", got, crew.count)
		}
	})
}
