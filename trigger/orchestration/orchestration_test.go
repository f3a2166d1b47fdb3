package orchestration_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// TestHistoryIsJoined shows that chunks of past arrive as one History, through
// the wire and back.
func TestHistoryIsJoined(t *testing.T) {
	chunk := func(ids ...int32) []byte {
		h := &history.History{}
		for _, id := range ids {
			h.Events = append(h.Events, &history.HistoryEvent{EventId: id})
		}
		b, err := h.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w := orchestration.Work(7, work.NewEpisode(work.Item{}, work.Episode{
		Past: [][]byte{chunk(1, 2), chunk(3), chunk(4)}, New: chunk(5), HasHistory: true, Position: 4,
	}))
	wire, err := w.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var got protocol.OrchestratorWork
	if err := got.UnmarshalVT(wire); err != nil {
		t.Fatal(err)
	}
	var past, fresh history.History
	if err := past.UnmarshalVT(got.PastEvents); err != nil {
		t.Fatal(err)
	}
	if err := fresh.UnmarshalVT(got.NewEvents); err != nil {
		t.Fatal(err)
	}
	if len(past.Events) != 4 || past.Events[3].EventId != 4 || len(fresh.Events) != 1 || fresh.Events[0].EventId != 5 {
		t.Errorf("past %v, new %v", past.Events, fresh.Events)
	}
}

func TestResult(t *testing.T) {
	out := work.EpisodeResult{HistoryNeeded: true}
	orchestration.Result(&out, &protocol.OrchestratorResult{
		HistoryNeeded: true, CustomStatus: wrapperspb.String("null"), NonDeterminism: &history.TaskFailureDetails{}})
	if !out.HistoryNeeded || out.CustomStatus == nil || out.NonDeterminism == nil {
		t.Errorf("result %+v", out)
	}
	orchestration.Result(&out, &protocol.OrchestratorResult{})
	if out.CustomStatus != nil {
		t.Error("an unchanged custom status was set")
	}
}
