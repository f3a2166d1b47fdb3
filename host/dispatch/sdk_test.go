package dispatch_test

import (
	"context"
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
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "hello"), "../../samples/hello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bindings := trigger.NewRegistry(orchestration.Kind, activity.Kind, durableclient.Kind)
	d := dispatch.New(dispatch.Options{FunctionNotFoundTimeout: time.Minute})
	var sup *supervisor.Supervisor
	sup = supervisor.New(supervisor.Options{
		Dir: dir, RunDir: t.TempDir(), Handler: d, CheckBinding: bindings.Check,
		Log:      hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn}),
		OnChange: func() { d.SetFunctions(dispatch.FromApps(bindings, sup.Functions())) },
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sup.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sup.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	got := make(chan work.Results, 10)
	next := func() work.Results {
		t.Helper()
		select {
		case r := <-got:
			return r
		case <-ctx.Done():
			t.Fatalf("no answer; apps %+v, waiting %+v", sup.Apps(), d.Waiting())
			return work.Results{}
		}
	}
	submit := func(b work.Batch) { d.Submit(b, func(r work.Results) { got <- r }) }

	submit(work.Batch{Episodes: []*work.Episode{episode(t, 1)}})
	r := next()
	if len(r.Episodes) != 1 || len(r.Episodes[0].Actions) != 1 {
		t.Fatalf("episode: %+v", r)
	}
	call := r.Episodes[0].Actions[0].GetScheduleTask()
	if call.GetName() != "SayHello" || call.GetInput().GetValue() != `"Ada"` {
		t.Fatalf("action %v", r.Episodes[0].Actions[0])
	}

	in := call.GetInput().GetValue()
	submit(work.Batch{Activities: []*work.Activity{{Token: work.Token{Serial: 2}, Name: "sayhello", Input: &in, Attempt: 1}}})
	if r = next(); len(r.Activities) != 1 || r.Activities[0].Result == nil || *r.Activities[0].Result != `"Hello, Ada!"` {
		t.Fatalf("activity: %+v", r.Activities[0])
	}

	// After a crash the app has forgotten the orchestrator and says so.
	if err := syscall.Kill(sup.Apps()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for serial := uint64(3); ; serial++ {
		e := episode(t, serial)
		e.Position, e.New, e.HasHistory = 2, nil, false
		restarted := sup.Apps()[0].Restarts == 1 // before: the old one's answer may still come
		submit(work.Batch{Episodes: []*work.Episode{e}})
		if r = next(); len(r.Episodes) != 1 {
			t.Fatalf("results %+v", r)
		}
		if r.Episodes[0].HistoryNeeded && sup.Apps()[0].Restarts == 1 {
			return
		}
		if !r.Episodes[0].Abandoned && !r.Episodes[0].HistoryNeeded && restarted {
			t.Fatalf("after the restart: %+v", r.Episodes[0])
		}
	}
}

// episode is the first one of a Hello for Ada.
func episode(t *testing.T, serial uint64) *work.Episode {
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
	return &work.Episode{Token: work.Token{Serial: serial}, Instance: "i", Execution: "e", Name: "Hello", HasHistory: true, New: b}
}
