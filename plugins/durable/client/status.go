package client

// RuntimeStatus is the status of an instance as the API spells it.
type RuntimeStatus string

// The statuses of an instance.
const (
	StatusPending        RuntimeStatus = "Pending"
	StatusRunning        RuntimeStatus = "Running"
	StatusSuspended      RuntimeStatus = "Suspended"
	StatusContinuedAsNew RuntimeStatus = "ContinuedAsNew"
	StatusCompleted      RuntimeStatus = "Completed"
	StatusFailed         RuntimeStatus = "Failed"
	StatusTerminated     RuntimeStatus = "Terminated"
	StatusCanceled       RuntimeStatus = "Canceled"
)

// Terminal reports whether an instance with this status has ended.
func (s RuntimeStatus) Terminal() bool {
	switch s {
	case StatusCompleted, StatusFailed, StatusTerminated, StatusCanceled:
		return true
	}
	return false
}
