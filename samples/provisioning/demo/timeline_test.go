package main

import (
	"testing"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

func TestTimeline(t *testing.T) {
	parent := rowsOf("Parent", 0, []client.Event{
		{EventType: "ExecutionStarted", Timestamp: at(0)},
		{EventType: "TaskCompleted", ScheduledTime: at(0), Timestamp: at(20), FunctionName: "Ids"},
		{EventType: "SubOrchestrationInstanceCompleted", ScheduledTime: at(20), Timestamp: at(100), FunctionName: "Child"},
		{EventType: "ExecutionCompleted", Timestamp: at(100)},
	})
	child := rowsOf("p:1", 1, []client.Event{
		{EventType: "ExecutionStarted", Timestamp: at(20)},
		{EventType: "TaskCompleted", ScheduledTime: at(20), Timestamp: at(20), FunctionName: "Quick"},
		{EventType: "TimerCreated", Timestamp: at(40)},
		{EventType: "EventRaised", Timestamp: at(90), Name: "Ack"},
	})
	got := renderTimeline(append(parent, child...), 10)
	want := "" +
		"timeline                        begin ms   took ms\n" +
		"Parent             ━━━━━━━━━━        0.0     100.0\n" +
		"  Ids              ██                0.0      20.0\n" +
		"  p:1                ━━━━━━━        20.0      70.0\n" +
		"    Quick            █              20.0       0.0\n" +
		"    waits for Ack      ░░░░░        40.0      50.0\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTimelineOfNothing(t *testing.T) {
	if got := renderTimeline(nil, 10); got != "" {
		t.Errorf("got %q", got)
	}
	if got := renderTimeline(rowsOf("x", 0, nil), 10); got == "" {
		t.Error("an instance without history has no row")
	}
}
