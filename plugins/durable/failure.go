package durable

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// Error types that the SDK gives to failures of no Go error.
const (
	typeNonDeterministic     = "NonDeterministicOrchestration"
	typeOrchestratorNotFound = "OrchestratorTaskNotFound"
	typeActivityNotFound     = "ActivityTaskNotFound"
	typeFunctionNotFound     = "FunctionNotFound"
	typeCorruptHistory       = "CorruptHistory"
	typePanic                = "panic"
)

const (
	maxStackBytes = 16 << 10 // a stack is kept in history: the top of it is enough
	maxInner      = 16       // a chain of errors that is longer is cut
)

// failureOf is err as it crosses the wire.
func failureOf(err error) *history.TaskFailureDetails {
	_, nonRetriable := errors.AsType[*nonRetriableError](err)
	d := chainOf(err, maxInner)
	d.IsNonRetriable = d.IsNonRetriable || nonRetriable
	return d
}

// chainOf follows the chain of err; of joined errors it takes the first.
func chainOf(err error, depth int) *history.TaskFailureDetails {
	for {
		n, ok := any(err).(*nonRetriableError) // this link only, not the chain
		if !ok {
			break
		}
		err = n.error // the mark is a flag on the wire, not a link
	}
	switch e := any(err).(type) {
	case *FailureDetails:
		return toWire(e)
	case *panicError:
		return &history.TaskFailureDetails{ErrorType: typePanic, ErrorMessage: e.Error(), StackTrace: wrapperspb.String(e.stack)}
	}
	d := &history.TaskFailureDetails{ErrorType: reflect.TypeOf(err).String(), ErrorMessage: errorText(err)}
	if inner := firstInner(err); inner != nil && depth > 0 {
		d.InnerFailure = chainOf(inner, depth-1)
	}
	return d
}

func firstInner(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if e != nil {
				return e
			}
		}
		return nil
	}
	return errors.Unwrap(err)
}

// errorText is err's message, also when the author's Error method panics (on a
// nil pointer, say): the failure must be reported in any case (F§1.12 F4).
func errorText(err error) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("an error of type %T whose Error method panics: %v", err, r)
		}
	}()
	return err.Error()
}

// panicError is a panic of the author's code with its stack.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// newPanicError must be called in the deferred function that recovered value.
func newPanicError(value any) *panicError {
	stack := debug.Stack()
	return &panicError{value: value, stack: string(stack[:min(len(stack), maxStackBytes)])}
}

// toWire and fromWire convert failures; a nil stays nil.
func toWire(f *FailureDetails) *history.TaskFailureDetails {
	if f == nil {
		return nil
	}
	d := &history.TaskFailureDetails{
		ErrorType: f.Type, ErrorMessage: f.Message, InnerFailure: toWire(f.Inner), IsNonRetriable: f.NonRetriable,
	}
	if f.Stack != "" {
		d.StackTrace = wrapperspb.String(f.Stack)
	}
	return d
}

func fromWire(d *history.TaskFailureDetails) *FailureDetails {
	if d == nil {
		return nil
	}
	return &FailureDetails{
		Type: d.ErrorType, Message: d.ErrorMessage, Stack: d.StackTrace.GetValue(),
		Inner: fromWire(d.InnerFailure), NonRetriable: d.IsNonRetriable,
	}
}
