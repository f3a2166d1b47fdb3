package core

import (
	"fmt"

	"github.com/durafunc/durafunc/taskhub/history"
)

// Error types of failures that the engine itself reports.
const (
	ErrorTypeInstanceExists  = "InstanceAlreadyExists"   // F§14 D4
	ErrorTypePayloadTooLarge = "PayloadTooLarge"         // above maxPayloadBytes
	ErrorTypeTerminated      = "OrchestrationTerminated" // a child was terminated (F§1.5 C6)
	ErrorTypeQuarantined     = "Quarantined"             // the app died under it too often (F§14 A7)
	ErrorTypeInvalidAction   = "InvalidAction"           // an action that cannot be carried out
)

func failure(errorType, format string, args ...any) *history.TaskFailureDetails {
	return &history.TaskFailureDetails{ErrorType: errorType, ErrorMessage: fmt.Sprintf(format, args...), IsNonRetriable: true}
}
