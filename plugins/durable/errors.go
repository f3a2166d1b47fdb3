package durable

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Errors of durable calls. They come wrapped with what was asked for.
var (
	// ErrTimeout ends a wait for an external event that took too long.
	ErrTimeout = errors.New("timed out")
	// ErrCanceled ends a timer or a wait that Task.Cancel cancelled.
	ErrCanceled = errors.New("canceled")
	// ErrInvalidArgument means that a call was refused before anything was scheduled.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrOutsideOrchestrator means that a durable call came from another goroutine
	// than the orchestrator's, or after the orchestrator returned.
	ErrOutsideOrchestrator = errors.New("durable call from outside the orchestrator's goroutine")
)

// FailureDetails is an error that crossed the wire. It keeps what an error value
// cannot: the names of the Go types in its chain.
type FailureDetails struct {
	// Type is the type's name, such as "*fs.PathError", or a code of the platform
	// such as "ActivityTaskNotFound".
	Type    string
	Message string
	Stack   string // of a panic; else empty
	Inner   *FailureDetails
	// NonRetriable stops retry policies.
	NonRetriable bool
}

// Error is the message.
func (f *FailureDetails) Error() string { return f.Message }

// Unwrap is the inner failure, or nil.
func (f *FailureDetails) Unwrap() error {
	if f.Inner == nil { // a typed nil would not be nil
		return nil
	}
	return f.Inner
}

// TaskFailedError is the failure of an activity or a sub-orchestration, as the
// orchestrator that awaits it sees it. errors.As finds it, and the FailureDetails in it.
type TaskFailedError struct {
	TaskName string // the function called
	TaskID   int32  // number of the (last) attempt within its execution
	// SubOrchestration tells a child from an activity.
	SubOrchestration bool
	Failure          *FailureDetails // never nil
}

// orchestratorFailed begins the message of every failed orchestration; tools
// match on it, and so does Error below (F§1.12 F1).
const orchestratorFailed = "Orchestrator function '"

// Error begins as the reference implementation's text does (F§1.12 F1).
func (e *TaskFailedError) Error() string {
	if !e.SubOrchestration {
		return fmt.Sprintf("activity function '%s' failed: %q. See the function execution logs for additional details.",
			e.TaskName, e.Failure.Message)
	}
	if strings.HasPrefix(e.Failure.Message, orchestratorFailed) {
		return e.Failure.Message // says it already
	}
	return fmt.Sprintf("sub-orchestrator function '%s' failed: %q", e.TaskName, e.Failure.Message)
}

// Unwrap is the failure itself.
func (e *TaskFailedError) Unwrap() error { return e.Failure }

// IsCausedBy reports whether err, or an error in its chain on either side of the
// wire, has the type E. For a failure that crossed the wire the type's name decides.
func IsCausedBy[E error](err error) bool {
	if _, ok := errors.AsType[E](err); ok {
		return true
	}
	name := reflect.TypeFor[E]().String()
	for f, ok := errors.AsType[*FailureDetails](err); ok && f != nil; f = f.Inner {
		if f.Type == name {
			return true
		}
	}
	return false
}

// NonRetriable marks err so that no retry policy tries again. It returns nil for nil.
func NonRetriable(err error) error {
	if err == nil {
		return nil
	}
	return &nonRetriableError{err}
}

type nonRetriableError struct{ error }

func (e *nonRetriableError) Unwrap() error { return e.error }

// invalid is an argument error.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalidArgument, fmt.Errorf(format, args...))
}
