package supervisor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// FunctionStatus is one function that an app describes.
type FunctionStatus struct {
	Name     string
	Trigger  *protocol.Binding // its one trigger; nil when Err says why
	Bindings []*protocol.Binding
	// Err says why the function is not served: a broken rule, or another app that
	// has a function of that name. Nil: it is served.
	Err error
}

// Errors of a FunctionStatus.
var (
	// ErrFunction means that the description of a function breaks a rule (F§6.1).
	ErrFunction = errors.New("invalid function")
	// ErrConflict means that a function of that name was loaded before.
	ErrConflict = errors.New("function name is taken")
)

// functionKey is what function names are compared by (F§1.1 O3).
func functionKey(name string) string { return strings.ToLower(name) }

// checkFunctions judges what an app describes. A broken function does not stop the
// others (F§6.1).
func checkFunctions(d *protocol.DescribeResponse, check func(*protocol.Binding) (bool, error)) []FunctionStatus {
	seen := make(map[string]bool)
	out := make([]FunctionStatus, 0, len(d.GetFunctions()))
	for _, f := range d.GetFunctions() {
		st := FunctionStatus{Name: f.GetName(), Bindings: f.GetBindings()}
		err := history.CheckFunctionName(st.Name)
		if err == nil && seen[functionKey(st.Name)] {
			err = errors.New("the app registers the name twice")
		}
		seen[functionKey(st.Name)] = true
		if err == nil {
			st.Trigger, err = findTrigger(st.Bindings, check)
		}
		if err != nil {
			st.Err = fmt.Errorf("%w %q: %w", ErrFunction, st.Name, err)
			st.Trigger = nil
		}
		out = append(out, st)
	}
	return out
}

func findTrigger(bindings []*protocol.Binding, check func(*protocol.Binding) (bool, error)) (*protocol.Binding, error) {
	var trigger *protocol.Binding
	for _, b := range bindings {
		is, err := check(b)
		if err != nil {
			return nil, fmt.Errorf("binding %q: %w", b.GetName(), err)
		}
		if !is {
			continue
		}
		if trigger != nil {
			return nil, fmt.Errorf("two triggers, %s and %s: exactly one is needed", trigger.GetType(), b.GetType())
		}
		trigger = b
	}
	if trigger == nil {
		return nil, errors.New("no trigger: exactly one is needed")
	}
	return trigger, nil
}
