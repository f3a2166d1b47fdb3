package taskhub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// bubbleSched is the real scheduler inside a synctest bubble: its clocks are the
// bubble's, so that leases, waits and graces take no time.
type bubbleSched struct{ sched.Scheduler }

func (bubbleSched) Mono() time.Duration {
	return time.Since(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC))
}

// bucket is a store that several hosts share; it counts and can be looked into.
type bucket struct {
	storage.Store
	mu      sync.Mutex
	creates map[string]int // by the first part of the key below a partition, such as "log"
	slow    time.Duration  // what a write of the log takes
	stuck   time.Duration  // what a write of a payload takes
}

func newBucket() *bucket {
	return &bucket{Store: memory.NewWithClock(time.Now), creates: map[string]int{}}
}

func (b *bucket) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	b.mu.Lock()
	kind := "other"
	if parts := strings.Split(key, "/"); len(parts) == 4 {
		kind = parts[2]
	}
	b.creates[kind]++
	slow := b.slow
	if kind == "payload" {
		slow = b.stuck
	}
	b.mu.Unlock()
	if (kind == "log" || kind == "payload") && slow > 0 {
		time.Sleep(slow)
	}
	return b.Store.Create(ctx, key, body)
}

func (b *bucket) count(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.creates[kind]
}

// keys lists the bucket below a prefix.
func (b *bucket) keys(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	for e, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

// overwrite damages an object, as a disk would.
func (b *bucket) overwrite(t *testing.T, key string, change func([]byte) []byte) []byte {
	t.Helper()
	body, _, err := b.Get(t.Context(), key)
	if err == nil {
		err = b.Delete(t.Context(), key)
	}
	if err == nil {
		body = change(body)
		_, err = b.Store.Create(t.Context(), key, body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// hubHost is one host process on a bucket.
type hubHost struct {
	*Hub
	net *faulty.Store
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, b *bucket)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBucket()) })
}

func tryOpen(t *testing.T, b *bucket, change ...func(*Options)) (*hubHost, error) {
	t.Helper()
	net := faulty.New(b, nil)
	o := Options{
		Name: "Test", Store: net, Partitions: 1, Opener: checkpoint.Memory{}, Exec: newInProcess(), Sched: bubbleSched{sched.Real()},
		Log: hclog.NewNullLogger(), Lease: 15 * time.Second, Settings: Settings{MaxPayload: 1 << 20},
	}
	for _, c := range change {
		c(&o)
	}
	h, err := Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		net.SetOutage(false)
		_ = h.Stop(ended)                // as far as it is not stopped yet
		_ = h.Stop(context.Background()) // the bubble ends with all that runs in it
		synctest.Wait()
	})
	return &hubHost{Hub: h, net: net}, nil
}

func host(t *testing.T, b *bucket, change ...func(*Options)) *hubHost {
	t.Helper()
	h, err := tryOpen(t, b, change...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// crash cuts a host off from the bucket for good, with whatever it was doing.
func (h *hubHost) crash() { h.net.SetOutage(true) }

// proven takes every other host for dead at once.
func proven(o *Options) { o.Dead = func(lease.Record) bool { return true } }

func partitions(n int) func(*Options) { return func(o *Options) { o.Partitions = n } }

func running(orchestrator func(h []*history.HistoryEvent) []*history.OrchestratorAction) func(*Options) {
	return func(o *Options) {
		x := newInProcess()
		x.orchestrator = orchestrator
		o.Exec = x
	}
}

// nothing is an orchestrator that only waits.
func nothing([]*history.HistoryEvent) []*history.OrchestratorAction { return nil }

func (h *hubHost) begin(t *testing.T, id string) {
	t.Helper()
	if _, err := h.Start(t.Context(), StartRequest{Name: "Hello", ID: id}); err != nil {
		t.Fatal(err)
	}
}

func (h *hubHost) wantDone(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		i, err := h.Wait(t.Context(), id, GetOptions{Payloads: true})
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if i.Status != history.Completed || i.Output == nil || *i.Output != `"hello 0 hello 1 hello 2"` {
			t.Errorf("%s: %s %v", id, history.StatusName(i.Status), i.Output)
		}
	}
}

func names(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(prefix, i))
	}
	return ids
}

// parentOf runs "Parent", which awaits ten children, and "Child", which ends at once.
func parentOf(h []*history.HistoryEvent) (actions []*history.OrchestratorAction) {
	ended, name := 0, ""
	for _, e := range h {
		if s := e.GetExecutionStarted(); s != nil {
			name = s.Name
		}
		if e.GetSubOrchestrationInstanceCompleted() != nil {
			ended++
		}
	}
	switch {
	case name == "Child":
		return []*history.OrchestratorAction{completed(0, `"done"`)}
	case ended == 10:
		return []*history.OrchestratorAction{completed(10, `"10 of 10"`)}
	case ended > 0:
		return nil
	}
	for n := range int32(10) {
		actions = append(actions, &history.OrchestratorAction{Id: n, OrchestratorActionType: &history.OrchestratorAction_CreateSubOrchestration{
			CreateSubOrchestration: &history.CreateSubOrchestrationAction{Name: "Child"},
		}})
	}
	return actions
}

func completed(id int32, output string) *history.OrchestratorAction {
	return &history.OrchestratorAction{Id: id, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{
		CompleteOrchestration: &history.CompleteOrchestrationAction{OrchestrationStatus: history.Completed, Result: wrapperspb.String(output)},
	}}
}

// The compressor of the log makes its channels when it is used first, which must not be
// in the bubble of one test.
func init() {
	if _, err := commitlog.Decode((&commitlog.Record{Kind: commitlog.Commit, Body: make([]byte, 1000)}).Encode()); err != nil {
		panic(err)
	}
}
