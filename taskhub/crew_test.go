package taskhub

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/work"
)

// crew is an executor with some of the functions and a bound on what runs at once. Its
// activities can be held up.
type crew struct {
	*inProcess
	has   []work.Function
	slots int // for activities; 0: no bound

	mu       sync.Mutex
	busy     int
	held     chan struct{} // activities wait until it is closed; nil: they do not
	began    []*work.Item
	episodes int
	waits    []*work.Item // for functions that it has not got
	results  func([]*work.Result)
}

func (c *crew) Has(f work.Function) bool { return slices.Contains(c.has, f) }
func (c *crew) Offers() []work.Function  { return c.has }
func (c *crew) Free(k work.Kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k == work.Orchestrator || c.slots == 0 {
		return 1000
	}
	return max(0, c.slots-c.busy)
}

func (c *crew) Yield(elsewhere func(work.Function) bool) {
	c.mu.Lock()
	var back []*work.Result
	c.waits = slices.DeleteFunc(c.waits, func(it *work.Item) bool {
		if !elsewhere(it.Function()) {
			return false
		}
		back = append(back, it.Ended(work.Abandoned))
		return true
	})
	results := c.results
	c.mu.Unlock()
	if len(back) > 0 {
		results(back)
	}
}

func (c *crew) Submit(b work.Batch, results func([]*work.Result)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results = results
	for _, it := range b.Items {
		switch {
		case it.Kind == work.ActivityFunction:
			c.begin(it, results)
		case !c.Has(it.Function()):
			c.waits = append(c.waits, it)
		default:
			c.episodes++
			c.inProcess.Submit(work.Batch{Items: []*work.Item{it}}, results)
		}
	}
}

// begin runs an activity when it is let go.
func (c *crew) begin(it *work.Item, results func([]*work.Result)) {
	c.began = append(c.began, it)
	c.busy++
	held := c.held
	go func() {
		if held != nil {
			<-held
		}
		c.mu.Lock()
		c.busy--
		c.mu.Unlock()
		c.inProcess.Submit(work.Batch{Items: []*work.Item{it}}, results)
	}()
}

// calls are the activities that were begun, and the number of episodes.
func (c *crew) calls() ([]*work.Item, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.began), c.episodes
}

// waitBegun waits until n activities were begun.
func (c *crew) waitBegun(t *testing.T, n int) []*work.Item {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if began, _ := c.calls(); len(began) >= n {
			return began
		}
	}
	began, _ := c.calls()
	t.Fatalf("%d activities were begun, want %d", len(began), n)
	return nil
}

var (
	theHello = work.Function{Kind: work.Orchestrator, Name: "Hello"}
	theSay   = work.Function{Kind: work.ActivityFunction, Name: "Say"}
)

func newCrew(has ...work.Function) *crew { return &crew{inProcess: newInProcess(), has: has} }

func (c *crew) works(o *Options) { o.Exec = c }
