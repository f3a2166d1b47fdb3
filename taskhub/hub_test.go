package taskhub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/work"
)

// inProcess runs orchestrators as functions from a whole history to the actions of the
// next step, and activities as functions of their input.
type inProcess struct {
	mu           sync.Mutex
	seen         map[string][]*history.HistoryEvent
	orchestrator func(h []*history.HistoryEvent) []*history.OrchestratorAction
	activity     func(a *work.Item) string
}

func (x *inProcess) Submit(b work.Batch, results func([]*work.Result)) {
	go func() {
		var list []*work.Result
		for _, it := range b.Items {
			if it.Kind == work.Orchestrator {
				list = append(list, work.EpisodeDone(it.Token, x.episode(it)))
				continue
			}
			out := x.activity(it)
			list = append(list, work.ActivityDone(it.Token, work.ActivityResult{Result: &out}))
		}
		results(list)
	}()
}

func (x *inProcess) episode(it *work.Item) work.EpisodeResult {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, past := it.Episode, x.seen[it.Execution]
	if e.HasHistory {
		past = nil
		for _, chunk := range e.Past {
			past = append(past, decodeEvents(chunk)...)
		}
	}
	if uint64(len(past)) != e.Position {
		return work.EpisodeResult{HistoryNeeded: true}
	}
	h := append(past, decodeEvents(e.New)...)
	r := work.EpisodeResult{Actions: x.orchestrator(h)}
	delete(x.seen, it.Execution) // every second episode asks for its history
	if len(h)%2 == 0 {
		for range r.Actions {
			h = append(h, nil)
		}
		x.seen[it.Execution] = nil
	}
	return r
}

func decodeEvents(b []byte) []*history.HistoryEvent {
	var h history.History
	if err := h.UnmarshalVT(b); err != nil {
		panic(err)
	}
	return h.Events
}

// hello calls three activities in a row and joins their results.
func hello(h []*history.HistoryEvent) []*history.OrchestratorAction {
	var results []string
	for _, e := range h {
		if c := e.GetTaskCompleted(); c != nil {
			results = append(results, strings.Trim(c.Result.GetValue(), `"`))
		}
	}
	if n := int32(len(results)); n < 3 {
		return []*history.OrchestratorAction{{Id: n, OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
			ScheduleTask: &history.ScheduleTaskAction{Name: "Say", Input: &wrapperspb.StringValue{Value: fmt.Sprint(n)}},
		}}}
	}
	return []*history.OrchestratorAction{{Id: 3, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{
		CompleteOrchestration: &history.CompleteOrchestrationAction{
			OrchestrationStatus: history.Completed, Result: &wrapperspb.StringValue{Value: `"` + strings.Join(results, " ") + `"`},
		},
	}}}
}

func newInProcess() *inProcess {
	return &inProcess{
		seen: map[string][]*history.HistoryEvent{}, orchestrator: hello,
		activity: func(a *work.Item) string { return fmt.Sprintf("%q", "hello "+*a.Activity.Input) },
	}
}

func openHub(t testing.TB, store storage.Store, opener checkpoint.Opener, partitions int) *Hub {
	t.Helper()
	h, err := Open(t.Context(), Options{
		Name: "Test", Store: store, Partitions: partitions, Opener: opener, Exec: newInProcess(),
		Sched: sched.Real(), Log: hclog.NewNullLogger(), Lease: time.Minute, Settings: Settings{MaxPayload: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	// In real time: on a slow disk that is longer than requests wait.
	for end := time.Now().Add(2 * time.Minute); slices.ContainsFunc(h.Info(), func(p PartitionInfo) bool { return p.State != cluster.Serving }); {
		if time.Now().After(end) {
			t.Fatalf("not served: %+v", h.Info())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return h
}

func pebbleOpener(t testing.TB) checkpoint.Opener {
	t.Helper()
	o, err := checkpoint.NewPebble(t.TempDir(), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestHubRunsInstancesAndKeepsThemOverARestart(t *testing.T) {
	store := memory.New()
	for _, partitions := range []int{1, 4} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			ctx := t.Context()
			store := storage.Store(store)
			if partitions > 1 {
				store = memory.New()
			}
			h := openHub(t, store, pebbleOpener(t), partitions)
			for n := range 50 {
				if _, err := h.Start(ctx, StartRequest{Name: "Hello", ID: fmt.Sprintf("i%d", n)}); err != nil {
					t.Fatal(err)
				}
			}
			check := func(h *Hub) {
				t.Helper()
				for n := range 50 {
					i, err := h.Wait(ctx, fmt.Sprintf("i%d", n), GetOptions{Payloads: true})
					if err != nil {
						t.Fatal(err)
					}
					if i.Status != history.Completed || *i.Output != `"hello 0 hello 1 hello 2"` {
						t.Fatalf("instance %s: %s %v", i.ID, history.StatusName(i.Status), *i.Output)
					}
				}
			}
			check(h)
			if err := h.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			h = openHub(t, store, pebbleOpener(t), partitions)
			check(h)
			events, err := h.History(ctx, "i7")
			if err != nil || len(events) != 15 {
				t.Errorf("history of i7: %d events, %v", len(events), err)
			}
			if err := h.Stop(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}
