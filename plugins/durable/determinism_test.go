package durable

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// changed runs the code that recorded two activities and lets other code go on
// with its history.
func TestReplayMustRepeatHistory(t *testing.T) {
	record := func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		CallActivity[int](ctx, "A", nil).Await()
		CallActivity[int](ctx, "B", nil).Await()
		return 0, nil
	}
	tests := []struct {
		name string
		code func(*OrchestrationContext, struct{}) (int, error)
		want string // "": it is the same
	}{
		{"the same", record, ""},
		{"another input, case and more actions behind", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			CallActivity[int](ctx, "a", 7, WithVersion("9")).Await()
			return CallActivity[int](ctx, "b", 7).Await()
		}, ""},
		{"another name", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			CallActivity[int](ctx, "A", nil).Await()
			CallActivity[int](ctx, "X", nil).Await()
			return 0, nil
		}, `at history event 6, task #1, history says: asked for activity "B"; the code: asked for activity "X"`},
		{"another kind", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			CreateTimer(ctx, time.Second).Await()
			return 0, nil
		}, `at history event 2, task #0, history says: asked for activity "A"; the code: asked for a timer`},
		{"an action less", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			CallActivity[int](ctx, "A", nil).Await()
			WaitForExternalEvent[int](ctx, "e").Await()
			return 0, nil
		}, `task #1, history says: asked for activity "B"; the code: asked for nothing under this number`},
		{"an earlier end", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			return CallActivity[int](ctx, "A", nil).Await()
		}, `task #1, history says: asked for activity "B"; the code: ended as Completed`},
		{"an action more in between", func(ctx *OrchestrationContext, _ struct{}) (int, error) {
			CallActivity[int](ctx, "A", nil).Await()
			CreateTimer(ctx, time.Second)
			CallActivity[int](ctx, "B", nil).Await()
			return 0, nil
		}, `task #1, history says: asked for activity "B"; the code: asked for a timer`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := newTestHost(t, orchestration(record), "O")
			old.start("")
			old.episode(done(0, "1"))
			h := newTestHost(t, orchestration(tt.code), "O")
			h.history, h.now, h.moved = old.history, old.now, true
			res, _ := h.try(done(1, "2"))
			if tt.want == "" {
				if res.NonDeterminism != nil || res.HistoryNeeded {
					t.Fatalf("answer is %v", res)
				}
				return
			}
			d := res.NonDeterminism
			if d.GetErrorType() != "NonDeterministicOrchestration" || !strings.Contains(d.GetErrorMessage(), tt.want) {
				t.Fatalf("got %s: %s\nwant %s", d.GetErrorType(), d.GetErrorMessage(), tt.want)
			}
			if len(res.Actions) > 0 || h.parked.parked.len()+h.replayed.parked.len() > 0 {
				t.Error("an episode that disagrees leaves something behind")
			}
		})
	}
}

func TestMoreActionsAtTheEndAreSent(t *testing.T) {
	old := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		return CallActivity[int](ctx, "A", nil).Await()
	}), "O")
	old.start("")
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		a, b := CallActivity[int](ctx, "A", nil), CallActivity[int](ctx, "B", nil)
		a.Await()
		return b.Await()
	}), "O")
	h.history, h.now, h.moved = old.history, old.now, true
	res, _ := h.try(done(0, "1"))
	expect(t, res, "#1 activity B()")
}

func TestRecordedEndIsCompared(t *testing.T) {
	code := func(ctx *OrchestrationContext, _ struct{}) (int, error) { return 1, nil }
	for status, same := range map[history.Status]bool{history.Completed: true, history.Failed: false} {
		h := newTestHost(t, orchestration(code), "O")
		h.start("")
		h.moved = true
		h.history[2].GetExecutionCompleted().OrchestrationStatus = status
		res, _ := h.try(event("e", ""))
		if (res.NonDeterminism == nil) != same {
			t.Errorf("recorded as %v: %v", status, res.NonDeterminism)
		}
	}
}

func TestReplayFlagAndLogger(t *testing.T) {
	var lines strings.Builder
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		log := ctx.Logger().Named("x").With("k", 1)
		log.Info("one")
		CreateTimer(ctx, 1).Await()
		if ctx.IsReplaying() {
			t.Error("new events are no replay")
		}
		log.Info("two")
		log.StandardLogger(&hclog.StandardLoggerOptions{}).Print("three")
		return 0, nil
	})
	h := newTestHost(t, app, "O")
	h.start("")
	r := newRunner(app, hclog.New(&hclog.LoggerOptions{Output: &lines, Level: hclog.Trace}), 0)
	defer r.close()
	res := &protocol.OrchestratorResult{}
	r.episode(&protocol.OrchestratorWork{
		InstanceId: h.id, ExecutionId: h.exec, Name: "O", HasHistory: true, Position: uint64(len(h.history)),
		PastEvents: encodeEvents(t, h.history), NewEvents: encodeEvents(t, []*history.HistoryEvent{fired(0)}),
	}, res)
	expect(t, res, "#1 Completed 0")
	if got := lines.String(); strings.Contains(got, "one") || strings.Count(got, "two: instance=inst-1 k=1") != 1 || !strings.Contains(got, "three") {
		t.Errorf("log is:\n%s", got)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	var times []time.Time
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		times = append(times, ctx.CurrentUTCDateTime())
		CreateTimer(ctx, 1).Await()
		times = append(times, ctx.CurrentUTCDateTime())
		return 0, nil
	})
	h := newTestHost(t, app, "O")
	h.start("")
	h.now = epoch.Add(-time.Hour) // another host, whose clock is behind
	times = nil
	h.episode(fired(0))
	for _, at := range times {
		if !at.Equal(epoch.Add(time.Second)) {
			t.Errorf("time is %s", at)
		}
	}
}

func TestCorruptHistoryIsToldAsSuch(t *testing.T) {
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		return CallActivity[int](ctx, "A", nil).Await()
	})
	start := newTestHost(t, app, "O").started("")
	started := &history.HistoryEvent{Timestamp: timestamppb.Now(), EventType: &history.HistoryEvent_OrchestratorStarted{}}
	tests := map[string]*protocol.OrchestratorWork{
		"new events":    {NewEvents: []byte{0xff}},
		"past events":   {HasHistory: true, Position: 1, PastEvents: []byte{0xff}},
		"started twice": {NewEvents: encodeEvents(t, []*history.HistoryEvent{started, start, start})},
		"wrong count":   {HasHistory: true, Position: 9, PastEvents: encodeEvents(t, []*history.HistoryEvent{start})},
		"empty events":  {HasHistory: true, NewEvents: encodeEvents(t, []*history.HistoryEvent{{}, done(-5, ""), fired(1 << 30), event("", "")})},
	}
	for name, w := range tests {
		w.ExecutionId = name
		r := newRunner(app, hclog.NewNullLogger(), 10)
		res := &protocol.OrchestratorResult{}
		r.episode(w, res)
		if name == "empty events" {
			if res.NonDeterminism != nil || len(res.Actions) > 0 {
				t.Errorf("%s: %v", name, res)
			}
		} else if res.NonDeterminism.GetErrorType() != typeCorruptHistory {
			t.Errorf("%s: %v", name, res)
		}
		r.close()
	}
}
