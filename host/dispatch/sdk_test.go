package dispatch_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// patience bounds the waits for real processes.
const patience = 3 * time.Minute

// TestSDK runs an app that was written with the SDK: the two halves of the
// contract do not know each other's code, so here they meet.
func TestSDK(t *testing.T) {
	ctx, d, sup := serveApp(t, "../../samples/hello", trigger.NewRegistry(orchestration.Kind, activity.Kind, durableclient.Kind))
	got := make(chan []*work.Result, 10)
	run := func(it *work.Item) *work.Result {
		t.Helper()
		d.Submit(work.Batch{Items: []*work.Item{it}}, func(r []*work.Result) { got <- r })
		select {
		case r := <-got:
			if len(r) == 1 && r[0].Token == it.Token {
				return r[0]
			}
			t.Fatalf("results %+v", r)
		case <-ctx.Done():
			t.Fatalf("no answer; apps %+v, waiting %+v", sup.Apps(), d.Waiting())
		}
		return nil
	}

	r := run(episode(t, 1))
	if r.Outcome != work.Completed || len(r.Episode.Actions) != 1 {
		t.Fatalf("episode: %+v", r)
	}
	call := r.Episode.Actions[0].GetScheduleTask()
	if call.GetName() != "SayHello" || call.GetInput().GetValue() != `"Ada"` {
		t.Fatalf("action %v", r.Episode.Actions[0])
	}

	in := call.GetInput().GetValue()
	it := work.Item{Token: work.Token{Serial: 2}, Name: "sayhello", Attempt: 1}
	r = run(work.NewActivity(it, work.Activity{Input: &in}))
	if r.Outcome != work.Completed || r.Activity.Result == nil || *r.Activity.Result != `"Hello, Ada!"` {
		t.Fatalf("activity: %+v", r)
	}

	// After a crash the app has forgotten the orchestrator and says so.
	if err := syscall.Kill(sup.Apps()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for serial := uint64(3); ; serial++ {
		e := episode(t, serial)
		e.Episode.Position, e.Episode.New, e.Episode.HasHistory = 2, nil, false
		restarted := sup.Apps()[0].Restarts == 1 // before: the old one's answer may still come
		r = run(e)
		needed := r.Outcome == work.Completed && r.Episode.HistoryNeeded
		if needed && sup.Apps()[0].Restarts == 1 {
			return
		}
		if r.Outcome == work.Completed && !needed && restarted {
			t.Fatalf("after the restart: %+v", r)
		}
	}
}

// serveApp builds an app and runs it under a supervisor.
func serveApp(t *testing.T, path string, bindings *trigger.Registry) (context.Context, *dispatch.Dispatcher, *supervisor.Supervisor) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "app"), path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d := dispatch.New(dispatch.Options{FunctionNotFoundTimeout: time.Minute})
	var sup *supervisor.Supervisor
	sup = supervisor.New(supervisor.Options{
		Dir: dir, RunDir: t.TempDir(), Handler: d, CheckBinding: bindings.Check,
		Log:      hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn}),
		OnChange: func() { d.SetFunctions(dispatch.FromApps(bindings, sup.Functions())) },
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	if err := sup.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sup.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return ctx, d, sup
}

// TestTriggeredFunctions calls functions of a real app by a kind of trigger that only this
// test knows.
func TestTriggeredFunctions(t *testing.T) {
	bindings := trigger.NewRegistry(trigger.Kind{Type: "testTrigger", Trigger: true, Properties: []string{"path"}})
	ctx, d, sup := serveApp(t, "./testdata/triggered", bindings)
	got, err := d.Invoke(ctx, "greet", []byte(`{"Name":"Ada"}`))
	if string(got) != `"Hello, Ada!"` || err != nil {
		t.Errorf("Greet: %s, %v", got, err)
	}
	var failed *dispatch.FunctionError
	if _, err = d.Invoke(ctx, "Fail", nil); !errors.As(err, &failed) || failed.Details.GetErrorMessage() != "no luck" {
		t.Errorf("Fail: %v", err)
	}
	if _, err = d.Invoke(ctx, "Refused", nil); !errors.Is(err, dispatch.ErrNoFunction) {
		t.Errorf("a function with a trigger that the host does not know: %v", err)
	}
	for _, f := range d.Functions() {
		if f.Kind != dispatch.Triggered || f.Bindings[0].Properties != `{"path":"greet"}` {
			t.Errorf("function %+v", f)
		}
	}
	if _, err = d.Invoke(ctx, "Die", nil); !errors.Is(err, dispatch.ErrAppGone) {
		t.Errorf("Die: %v", err)
	}
	// The next call waits for the new process.
	if got, err = d.Invoke(ctx, "Greet", nil); string(got) != `"Hello, !"` || err != nil {
		t.Errorf("after the restart: %s, %v; apps %+v", got, err, sup.Apps())
	}
}

// episode is the first one of a Hello for Ada.
func episode(t *testing.T, serial uint64) *work.Item {
	t.Helper()
	now := timestamppb.Now()
	h := &history.History{Events: []*history.HistoryEvent{
		{EventId: -1, Timestamp: now, EventType: &history.HistoryEvent_OrchestratorStarted{OrchestratorStarted: &history.OrchestratorStartedEvent{}}},
		{EventId: -1, Timestamp: now, EventType: &history.HistoryEvent_ExecutionStarted{ExecutionStarted: &history.ExecutionStartedEvent{
			Name: "Hello", Input: wrapperspb.String(`"Ada"`),
			OrchestrationInstance: &history.OrchestrationInstance{InstanceId: "i", ExecutionId: wrapperspb.String("e")},
		}}},
	}}
	b, err := h.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	it := work.Item{Token: work.Token{Serial: serial}, Task: work.Task{Instance: "i", Execution: "e"}, Name: "Hello"}
	return work.NewEpisode(it, work.Episode{HasHistory: true, New: b})
}
