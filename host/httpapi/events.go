package httpapi

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// appendEvents appends the history as showHistory shows it (F§4.3): without the
// marks of episodes, and with each call merged into its outcome.
func appendEvents(b []byte, events []*history.HistoryEvent, showInput, showOutput bool) []byte {
	calls, done := map[int32]call{}, map[int32]bool{}
	for _, e := range events {
		if c, ok := asCall(e); ok {
			calls[e.EventId] = c
		} else if id, ok := outcomeOf(e); ok {
			done[id] = true
		}
	}
	b = append(b, '[')
	first := len(b)
	for _, e := range events {
		if _, ok := asCall(e); ok && done[e.EventId] {
			continue
		}
		o := object{b: b, showInput: showInput, showOutput: showOutput}
		if len(b) > first {
			o.b = append(o.b, ',')
		}
		if o.event(e, calls) {
			o.b = append(o.b, '}')
			b = o.b // otherwise what was appended is dropped
		}
	}
	return append(b, ']')
}

// call is a scheduled activity or child.
type call struct {
	name  string
	input *wrapperspb.StringValue
	at    *timestamppb.Timestamp
}

func asCall(e *history.HistoryEvent) (call, bool) {
	if t := e.GetTaskScheduled(); t != nil {
		return call{t.Name, t.Input, e.Timestamp}, true
	}
	if s := e.GetSubOrchestrationInstanceCreated(); s != nil {
		return call{s.Name, s.Input, e.Timestamp}, true
	}
	return call{}, false
}

// outcomeOf returns the call that an event completes or fails.
func outcomeOf(e *history.HistoryEvent) (int32, bool) {
	switch t := e.EventType.(type) {
	case *history.HistoryEvent_TaskCompleted:
		return t.TaskCompleted.GetTaskScheduledId(), true
	case *history.HistoryEvent_TaskFailed:
		return t.TaskFailed.GetTaskScheduledId(), true
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		return t.SubOrchestrationInstanceCompleted.GetTaskScheduledId(), true
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		return t.SubOrchestrationInstanceFailed.GetTaskScheduledId(), true
	}
	return 0, false
}

// object appends the fields of one event.
type object struct {
	b                     []byte
	showInput, showOutput bool
}

// event appends e up to its closing brace; false if the event is not shown.
func (o *object) event(e *history.HistoryEvent, calls map[int32]call) bool {
	switch t := e.EventType.(type) {
	case *history.HistoryEvent_ExecutionStarted:
		o.open("ExecutionStarted", e)
		o.input(t.ExecutionStarted.GetInput())
		o.text("FunctionName", t.ExecutionStarted.GetName())
		o.time("ScheduledStartTime", t.ExecutionStarted.GetScheduledStartTimestamp())
	case *history.HistoryEvent_ExecutionCompleted:
		o.open("ExecutionCompleted", e)
		o.text("OrchestrationStatus", history.StatusName(t.ExecutionCompleted.GetOrchestrationStatus()))
		o.result(t.ExecutionCompleted.GetResult())
		o.failure("FailureDetails", t.ExecutionCompleted.GetFailureDetails())
	case *history.HistoryEvent_ExecutionTerminated:
		o.open("ExecutionTerminated", e)
		o.input(t.ExecutionTerminated.GetInput())
	case *history.HistoryEvent_TaskScheduled:
		o.open("TaskScheduled", e)
		o.text("Name", t.TaskScheduled.GetName())
		o.input(t.TaskScheduled.GetInput())
	case *history.HistoryEvent_TaskCompleted:
		o.open("TaskCompleted", e)
		o.call(calls, t.TaskCompleted.GetTaskScheduledId())
		o.result(t.TaskCompleted.GetResult())
	case *history.HistoryEvent_TaskFailed:
		o.open("TaskFailed", e)
		o.call(calls, t.TaskFailed.GetTaskScheduledId())
		o.failed(t.TaskFailed.GetFailureDetails())
	case *history.HistoryEvent_SubOrchestrationInstanceCreated:
		o.open("SubOrchestrationInstanceCreated", e)
		o.text("InstanceId", t.SubOrchestrationInstanceCreated.GetInstanceId())
		o.text("Name", t.SubOrchestrationInstanceCreated.GetName())
		o.input(t.SubOrchestrationInstanceCreated.GetInput())
	case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
		o.open("SubOrchestrationInstanceCompleted", e)
		o.call(calls, t.SubOrchestrationInstanceCompleted.GetTaskScheduledId())
		o.result(t.SubOrchestrationInstanceCompleted.GetResult())
	case *history.HistoryEvent_SubOrchestrationInstanceFailed:
		o.open("SubOrchestrationInstanceFailed", e)
		o.call(calls, t.SubOrchestrationInstanceFailed.GetTaskScheduledId())
		o.failed(t.SubOrchestrationInstanceFailed.GetFailureDetails())
	default:
		return o.rareEvent(e)
	}
	return true
}

// rareEvent is event for the types that are neither calls nor the execution itself.
func (o *object) rareEvent(e *history.HistoryEvent) bool {
	switch t := e.EventType.(type) {
	case *history.HistoryEvent_TimerCreated:
		o.open("TimerCreated", e)
		o.time("FireAt", t.TimerCreated.GetFireAt())
	case *history.HistoryEvent_TimerFired:
		o.open("TimerFired", e)
		o.time("FireAt", t.TimerFired.GetFireAt())
	case *history.HistoryEvent_EventSent:
		o.open("EventSent", e)
		o.text("InstanceId", t.EventSent.GetInstanceId())
		o.text("Name", t.EventSent.GetName())
		o.input(t.EventSent.GetInput())
	case *history.HistoryEvent_EventRaised:
		o.open("EventRaised", e)
		o.text("Name", t.EventRaised.GetName())
		o.input(t.EventRaised.GetInput())
	case *history.HistoryEvent_ContinueAsNew:
		o.open("ContinueAsNew", e)
		o.text("OrchestrationStatus", history.StatusName(history.ContinuedAsNew))
		o.result(t.ContinueAsNew.GetInput())
	case *history.HistoryEvent_GenericEvent:
		o.open("GenericEvent", e)
		o.stored("Data", t.GenericEvent.GetData())
	case *history.HistoryEvent_ExecutionSuspended:
		o.open("ExecutionSuspended", e)
		o.stored("Reason", t.ExecutionSuspended.GetInput())
	case *history.HistoryEvent_ExecutionResumed:
		o.open("ExecutionResumed", e)
		o.stored("Reason", t.ExecutionResumed.GetInput())
	default: // the marks of episodes, and whatever a later version records
		return false
	}
	return true
}

func (o *object) open(eventType string, e *history.HistoryEvent) {
	o.b = appendString(append(o.b, `{"EventType":`...), eventType)
	o.time("Timestamp", e.Timestamp)
}

func (o *object) name(key string) {
	o.b = append(o.b, ',')
	o.b = appendString(o.b, key)
	o.b = append(o.b, ':')
}

func (o *object) text(key, value string) {
	o.name(key)
	o.b = appendString(o.b, value)
}

func (o *object) time(key string, t *timestamppb.Timestamp) {
	if t != nil {
		o.text(key, t.AsTime().Format(time.RFC3339Nano))
	}
}

// stored appends a payload as the string that it is stored as (F§4.3).
func (o *object) stored(key string, v *wrapperspb.StringValue) {
	switch {
	case v == nil:
	case history.IsPayloadRef(v.Value):
		o.text(key, describeRef(v.Value))
	default:
		o.text(key, v.Value)
	}
}

func (o *object) input(v *wrapperspb.StringValue) {
	if o.showInput {
		o.stored("Input", v)
	}
}

// result appends a payload as the JSON that it is.
func (o *object) result(v *wrapperspb.StringValue) {
	if o.showOutput && v != nil {
		o.name("Result")
		o.b = appendPayload(o.b, &v.Value)
	}
}

// call appends what an outcome takes over from its call.
func (o *object) call(calls map[int32]call, id int32) {
	c, ok := calls[id]
	if !ok {
		return
	}
	o.time("ScheduledTime", c.at)
	o.text("FunctionName", c.name)
	o.input(c.input)
}

// failed appends a failure in the old form, message and details, and in the new.
func (o *object) failed(f *history.TaskFailureDetails) {
	o.text("Reason", f.GetErrorMessage())
	o.text("Details", f.GetStackTrace().GetValue())
	o.failure("FailureDetails", f)
}

func (o *object) failure(key string, f *history.TaskFailureDetails) {
	if f == nil {
		return
	}
	o.name(key)
	o.b = appendString(append(o.b, `{"ErrorType":`...), f.ErrorType)
	o.text("ErrorMessage", f.ErrorMessage)
	if f.StackTrace != nil {
		o.text("StackTrace", f.StackTrace.Value)
	}
	o.failure("InnerFailure", f.InnerFailure)
	o.name("IsNonRetriable")
	if f.IsNonRetriable {
		o.b = append(o.b, "true}"...)
	} else {
		o.b = append(o.b, "false}"...)
	}
}
