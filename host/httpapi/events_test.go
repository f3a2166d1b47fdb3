package httpapi

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// ev makes an event n seconds after noon.
func ev(id int32, n int, e *history.HistoryEvent) *history.HistoryEvent {
	e.EventId = id
	e.Timestamp = timestamppb.New(time.Date(2024, 5, 1, 12, 0, n, 0, time.UTC))
	return e
}

func str(s string) *wrapperspb.StringValue { return wrapperspb.String(s) }

// at is the timestamp of ev(_, n, _) as JSON.
func at(n string) string { return `"2024-05-01T12:00:` + n + `Z"` }

func TestEventsAreReshaped(t *testing.T) {
	fire := timestamppb.New(time.Date(2024, 5, 1, 13, 0, 0, 500, time.UTC))
	fail := &history.TaskFailureDetails{ErrorType: "E", ErrorMessage: "no <money>", StackTrace: str("at x"), IsNonRetriable: true,
		InnerFailure: &history.TaskFailureDetails{ErrorType: "I", ErrorMessage: "inner"}}
	tests := []struct {
		name              string
		events            []*history.HistoryEvent
		noInput, noOutput bool
		want              string
	}{
		{"none", nil, false, false, `[]`},
		{"marks of episodes go", []*history.HistoryEvent{
			ev(-1, 0, &history.HistoryEvent{EventType: &history.HistoryEvent_OrchestratorStarted{OrchestratorStarted: &history.OrchestratorStartedEvent{}}}),
			ev(-1, 0, &history.HistoryEvent{EventType: &history.HistoryEvent_OrchestratorCompleted{OrchestratorCompleted: &history.OrchestratorCompletedEvent{}}}),
			ev(-1, 0, &history.HistoryEvent{}),
		}, false, false, `[]`},
		{"start", []*history.HistoryEvent{ev(-1, 1, &history.HistoryEvent{EventType: &history.HistoryEvent_ExecutionStarted{
			ExecutionStarted: &history.ExecutionStartedEvent{Name: "Order", Version: str("1"), Input: str(`{"a":1}`), Tags: map[string]string{"k": "v"},
				ScheduledStartTimestamp: fire}}})}, false, false,
			`[{"EventType":"ExecutionStarted","Timestamp":` + at("01") + `,"Input":"{\"a\":1}","FunctionName":"Order","ScheduledStartTime":"2024-05-01T13:00:00.0000005Z"}]`},
		{"completed call is merged", []*history.HistoryEvent{scheduled(0, 1, "Pay", "5"), completed(2, 0, `{"r":1}`)}, false, false,
			`[{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Pay","Input":"5","Result":{"r":1}}]`},
		{"without inputs and outputs", []*history.HistoryEvent{scheduled(0, 1, "Pay", "5"), completed(2, 0, `{"r":1}`)}, true, true,
			`[{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Pay"}]`},
		{"result that is not JSON", []*history.HistoryEvent{completed(2, 0, `plain`)}, false, false,
			`[{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"Result":"plain"}]`},
		{"stored payloads are named", []*history.HistoryEvent{scheduled(0, 1, "Pay", ref()), completed(2, 0, ref())}, false, false,
			`[{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") +
				`,"FunctionName":"Pay","Input":"(stored payload of 99 bytes)","Result":"(stored payload of 99 bytes)"}]`},
		{"failed call is merged", []*history.HistoryEvent{scheduled(0, 1, "Pay", "5"), ev(-1, 2, &history.HistoryEvent{
			EventType: &history.HistoryEvent_TaskFailed{TaskFailed: &history.TaskFailedEvent{TaskScheduledId: 0, FailureDetails: fail}}})}, false, true,
			`[{"EventType":"TaskFailed","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Pay","Input":"5",` +
				`"Reason":"no <money>","Details":"at x","FailureDetails":{"ErrorType":"E","ErrorMessage":"no <money>","StackTrace":"at x",` +
				`"InnerFailure":{"ErrorType":"I","ErrorMessage":"inner","IsNonRetriable":false},"IsNonRetriable":true}}]`},
		{"open call stays", []*history.HistoryEvent{scheduled(0, 1, "Pay", "5"), scheduled(1, 1, "Ship", "6"), completed(2, 0, "1")}, false, true,
			`[{"EventType":"TaskScheduled","Timestamp":` + at("01") + `,"Name":"Ship","Input":"6"},` +
				`{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Pay","Input":"5"}]`},
		{"children", []*history.HistoryEvent{child(0, 1, "c0"), child(1, 1, "c1"), child(2, 1, "c2"),
			ev(-1, 2, &history.HistoryEvent{EventType: &history.HistoryEvent_SubOrchestrationInstanceCompleted{
				SubOrchestrationInstanceCompleted: &history.SubOrchestrationInstanceCompletedEvent{TaskScheduledId: 0, Result: str("1")}}}),
			ev(-1, 3, &history.HistoryEvent{EventType: &history.HistoryEvent_SubOrchestrationInstanceFailed{
				SubOrchestrationInstanceFailed: &history.SubOrchestrationInstanceFailedEvent{TaskScheduledId: 1}}})}, false, false,
			`[{"EventType":"SubOrchestrationInstanceCreated","Timestamp":` + at("01") + `,"InstanceId":"c2","Name":"Child","Input":"7"},` +
				`{"EventType":"SubOrchestrationInstanceCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Child","Input":"7","Result":1},` +
				`{"EventType":"SubOrchestrationInstanceFailed","Timestamp":` + at("03") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Child","Input":"7","Reason":"","Details":""}]`},
		{"timers", []*history.HistoryEvent{
			ev(0, 1, &history.HistoryEvent{EventType: &history.HistoryEvent_TimerCreated{TimerCreated: &history.TimerCreatedEvent{FireAt: fire}}}),
			ev(-1, 2, &history.HistoryEvent{EventType: &history.HistoryEvent_TimerFired{TimerFired: &history.TimerFiredEvent{TimerId: 0, FireAt: fire}}})}, false, false,
			`[{"EventType":"TimerCreated","Timestamp":` + at("01") + `,"FireAt":"2024-05-01T13:00:00.0000005Z"},` +
				`{"EventType":"TimerFired","Timestamp":` + at("02") + `,"FireAt":"2024-05-01T13:00:00.0000005Z"}]`},
		{"events", []*history.HistoryEvent{
			ev(0, 1, &history.HistoryEvent{EventType: &history.HistoryEvent_EventSent{EventSent: &history.EventSentEvent{InstanceId: "o", Name: "n", Input: str("1")}}}),
			ev(-1, 2, &history.HistoryEvent{EventType: &history.HistoryEvent_EventRaised{EventRaised: &history.EventRaisedEvent{Name: "n", Input: str("2")}}})}, false, false,
			`[{"EventType":"EventSent","Timestamp":` + at("01") + `,"InstanceId":"o","Name":"n","Input":"1"},` +
				`{"EventType":"EventRaised","Timestamp":` + at("02") + `,"Name":"n","Input":"2"}]`},
		{"held and released", []*history.HistoryEvent{
			ev(-1, 1, &history.HistoryEvent{EventType: &history.HistoryEvent_ExecutionSuspended{ExecutionSuspended: &history.ExecutionSuspendedEvent{Input: str("why")}}}),
			ev(-1, 2, &history.HistoryEvent{EventType: &history.HistoryEvent_ExecutionResumed{ExecutionResumed: &history.ExecutionResumedEvent{}}}),
			ev(-1, 3, &history.HistoryEvent{EventType: &history.HistoryEvent_GenericEvent{GenericEvent: &history.GenericEvent{Data: str("d")}}})}, true, true,
			`[{"EventType":"ExecutionSuspended","Timestamp":` + at("01") + `,"Reason":"why"},{"EventType":"ExecutionResumed","Timestamp":` + at("02") +
				`},{"EventType":"GenericEvent","Timestamp":` + at("03") + `,"Data":"d"}]`},
		{"ends", []*history.HistoryEvent{
			ev(-1, 1, &history.HistoryEvent{EventType: &history.HistoryEvent_ExecutionTerminated{ExecutionTerminated: &history.ExecutionTerminatedEvent{Input: str("why")}}}),
			ev(-1, 2, &history.HistoryEvent{EventType: &history.HistoryEvent_ContinueAsNew{ContinueAsNew: &history.ContinueAsNewEvent{Input: str("8")}}}),
			ev(-1, 3, &history.HistoryEvent{EventType: &history.HistoryEvent_ExecutionCompleted{ExecutionCompleted: &history.ExecutionCompletedEvent{
				OrchestrationStatus: history.Completed, Result: str(`"ok"`)}}})}, false, false,
			`[{"EventType":"ExecutionTerminated","Timestamp":` + at("01") + `,"Input":"why"},` +
				`{"EventType":"ContinueAsNew","Timestamp":` + at("02") + `,"OrchestrationStatus":"ContinuedAsNew","Result":8},` +
				`{"EventType":"ExecutionCompleted","Timestamp":` + at("03") + `,"OrchestrationStatus":"Completed","Result":"ok"}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(appendEvents(nil, tt.events, !tt.noInput, !tt.noOutput)); got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func scheduled(id int32, n int, name, input string) *history.HistoryEvent {
	return ev(id, n, &history.HistoryEvent{EventType: &history.HistoryEvent_TaskScheduled{
		TaskScheduled: &history.TaskScheduledEvent{Name: name, Version: str("1"), Input: str(input)}}})
}

func completed(n int, of int32, result string) *history.HistoryEvent {
	return ev(-1, n, &history.HistoryEvent{EventType: &history.HistoryEvent_TaskCompleted{
		TaskCompleted: &history.TaskCompletedEvent{TaskScheduledId: of, Result: str(result)}}})
}

func child(id int32, n int, instance string) *history.HistoryEvent {
	return ev(id, n, &history.HistoryEvent{EventType: &history.HistoryEvent_SubOrchestrationInstanceCreated{
		SubOrchestrationInstanceCreated: &history.SubOrchestrationInstanceCreatedEvent{InstanceId: instance, Name: "Child", Version: str("1"), Input: str("7")}}})
}

func ref() string {
	return history.PayloadRef{Partition: 1, Name: "1-2", Bytes: 99, SHA256: strings.Repeat("0", 64)}.String()
}

// The history is sent under the documented key and under the one that the
// JavaScript client reads; outputs show only when asked for.
func TestStatusWithHistory(t *testing.T) {
	c := hub()
	c.events = []*history.HistoryEvent{scheduled(0, 1, "Pay", "5"), completed(2, 0, `7`)}
	h := New(Options{Client: c})
	head := strings.TrimSuffix(status("done", "Order", "Completed", `{"a": 1}`, "[1]", `"ok"`), "}")
	event := func(result string) string {
		return `[{"EventType":"TaskCompleted","Timestamp":` + at("02") + `,"ScheduledTime":` + at("01") + `,"FunctionName":"Pay","Input":"5"` + result + `}]`
	}
	for query, result := range map[string]string{"showHistory=true": "", "showhistory=TRUE&showHistoryOutput=true": `,"Result":7`} {
		want := head + `,"historyEvents":` + event(result) + `,"history":` + event(result) + `}`
		if got := do(h, "GET", "/instances/done?"+query, "").Body.String(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", query, got, want)
		}
	}
}
