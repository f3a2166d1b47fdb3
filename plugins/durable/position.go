package durable

import "github.com/durafunc/durafunc/taskhub/history"

// positionAfter is the number of history events once the host has committed an
// episode that began at position with that many new events and ended with actions.
// The host appends: the new events as it sent them, then one event for each action
// that leaves one (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated,
// EventSent, ExecutionCompleted), then OrchestratorCompleted. The host counts the
// same way; an orchestrator parked at any other number is not continued.
func positionAfter(position uint64, newEvents int, actions []*history.OrchestratorAction) uint64 {
	n := position + uint64(newEvents) + 1
	for _, a := range actions {
		switch a.GetOrchestratorActionType().(type) {
		case *history.OrchestratorAction_CancelTimer, *history.OrchestratorAction_TerminateOrchestration:
		default:
			n++
		}
	}
	return n
}
