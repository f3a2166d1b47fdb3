package history

// Status is the runtime status of an instance (F§4.1).
type Status = OrchestrationStatus

// Short names of the statuses.
const (
	Running        = OrchestrationStatus_ORCHESTRATION_STATUS_RUNNING
	Completed      = OrchestrationStatus_ORCHESTRATION_STATUS_COMPLETED
	ContinuedAsNew = OrchestrationStatus_ORCHESTRATION_STATUS_CONTINUED_AS_NEW
	Failed         = OrchestrationStatus_ORCHESTRATION_STATUS_FAILED
	Canceled       = OrchestrationStatus_ORCHESTRATION_STATUS_CANCELED
	Terminated     = OrchestrationStatus_ORCHESTRATION_STATUS_TERMINATED
	Pending        = OrchestrationStatus_ORCHESTRATION_STATUS_PENDING
	Suspended      = OrchestrationStatus_ORCHESTRATION_STATUS_SUSPENDED
)

var statusNames = [...]string{
	Running: "Running", Completed: "Completed", ContinuedAsNew: "ContinuedAsNew", Failed: "Failed",
	Canceled: "Canceled", Terminated: "Terminated", Pending: "Pending", Suspended: "Suspended",
}

// StatusName is the status as the HTTP API spells it, such as "Running".
func StatusName(s Status) string {
	if s < 0 || int(s) >= len(statusNames) {
		return "Unknown"
	}
	return statusNames[s]
}

// StatusByName finds a status by its case-sensitive HTTP name (F§3.1 W9).
func StatusByName(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), true
		}
	}
	return 0, false
}

// IsTerminal reports whether an instance of this status has ended.
func IsTerminal(s Status) bool {
	return s == Completed || s == Failed || s == Canceled || s == Terminated
}
