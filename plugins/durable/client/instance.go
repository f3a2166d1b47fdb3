package client

import (
	"encoding/json"
	"time"
)

// Instance is the committed state of an instance, as the API shows it.
type Instance struct {
	Name   string        `json:"name"` // orchestrator
	ID     string        `json:"instanceId"`
	Status RuntimeStatus `json:"runtimeStatus"`
	// Input, CustomStatus and Output are JSON; null when there is none, or it was not
	// asked for. Output has the message of a failure, or the reason of a termination.
	Input        json.RawMessage `json:"input"`
	CustomStatus json.RawMessage `json:"customStatus"`
	Output       json.RawMessage `json:"output"`
	// Created and Updated are UTC in whole seconds.
	Created time.Time `json:"createdTime"`
	Updated time.Time `json:"lastUpdatedTime"`
	// History is that of the present execution, if it was asked for. A pending instance
	// has none yet.
	History []Event `json:"historyEvents,omitempty"`
}

// Event is one event of a history. Which fields it has depends on its type. A call that
// has an outcome shows with that alone.
type Event struct {
	EventType string    `json:"EventType"` // as in "TaskCompleted"
	Timestamp time.Time `json:"Timestamp"`
	// FunctionName is what ran: the orchestrator, an activity or a child.
	FunctionName string `json:"FunctionName,omitempty"`
	// Name is that of an external event, or of a call that has no outcome yet.
	Name string `json:"Name,omitempty"`
	// InstanceID is the child that was started, or the instance that an event went to.
	InstanceID string `json:"InstanceId,omitempty"`
	// ScheduledTime is when the call was scheduled whose outcome this is.
	ScheduledTime time.Time `json:"ScheduledTime,omitzero"`
	// FireAt is when a timer is due.
	FireAt time.Time `json:"FireAt,omitzero"`
	// OrchestrationStatus is how the execution ended.
	OrchestrationStatus RuntimeStatus `json:"OrchestrationStatus,omitempty"`
	// Input is the JSON text of what was passed, if inputs were asked for.
	Input string `json:"Input,omitempty"`
	// Result is JSON, if outputs were asked for.
	Result json.RawMessage `json:"Result,omitempty"`
	// Reason is the message of a failure, or why the instance was suspended or resumed.
	Reason string `json:"Reason,omitempty"`
	// Details is the stack trace of a failure.
	Details string `json:"Details,omitempty"`
}
