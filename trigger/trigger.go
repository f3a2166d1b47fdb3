// Package trigger knows what can start a function and what a function can be bound to:
// the kinds of bindings, how one of each kind has to look, and who listens for what
// starts it.
//
// Each kind has a package of its own: a trigger below this one, any other binding below
// bindings. The engine hands out the work of orchestrators and activities itself; a
// trigger that waits for something outside, such as a request or a message, has a Listen
// that gets an Env to call the function by. A further kind joins by its package and one
// line where the host builds its Registry.
package trigger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Kind describes one type of binding.
type Kind struct {
	// Type is its name in function.json, such as "orchestrationTrigger";
	// compared without regard to case (F§6.1).
	Type string
	// Aliases are older names of it.
	Aliases []string
	// Trigger says that it starts the function. The others are inputs and outputs.
	Trigger bool
	// Directions that it may have; empty: a trigger's "in".
	Directions []string
	// Properties names the fields it may have beside type, name and direction.
	Properties []string
	// Check judges a binding beyond that; nil: nothing more.
	Check func(properties map[string]json.RawMessage) error
	// Listen makes what waits for the events that start one function; nil: there is
	// nothing to wait for. It does no work yet, and the binding has passed the checks
	// above. The host runs one Service a function, for as long as the function is there
	// with the same trigger. Only a Trigger may have it.
	Listen func(Env, Bound) (Service, error)
}

// Errors of Registry.
var (
	// ErrUnknownType means that this host has no such kind of binding.
	ErrUnknownType = errors.New("unknown binding type")
	// ErrBinding means that a binding breaks a rule of its kind.
	ErrBinding = errors.New("invalid binding")
)

// Registry holds the kinds of bindings that a host serves. It does not change, so
// it may be used concurrently.
type Registry struct {
	kinds map[string]Kind
	names []string
}

// NewRegistry takes the kinds; of two with one name the later wins.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: make(map[string]Kind)}
	for _, k := range kinds {
		for _, name := range append([]string{k.Type}, k.Aliases...) {
			r.kinds[strings.ToLower(name)] = k
		}
		r.names = append(r.names, k.Type)
	}
	slices.Sort(r.names)
	return r
}

// Type gives the kind's own spelling of a binding's type, or ErrUnknownType.
func (r *Registry) Type(b *protocol.Binding) (string, error) {
	k, ok := r.kind(b)
	if !ok {
		return "", fmt.Errorf("%w %q: this host has %s", ErrUnknownType, b.GetType(), strings.Join(r.names, ", "))
	}
	return k.Type, nil
}

func (r *Registry) kind(b *protocol.Binding) (Kind, bool) {
	k, ok := r.kinds[strings.ToLower(b.GetType())]
	return k, ok
}

// Check judges one binding and reports whether it is a trigger: ErrUnknownType,
// ErrBinding.
func (r *Registry) Check(b *protocol.Binding) (isTrigger bool, err error) {
	if _, err := r.Type(b); err != nil {
		return false, err
	}
	k, _ := r.kind(b)
	allowed := k.Directions
	if len(allowed) == 0 {
		allowed = []string{"in"}
	}
	if dir := strings.ToLower(b.GetDirection()); dir != "" && !slices.Contains(allowed, dir) {
		return k.Trigger, fmt.Errorf("%w: %s: direction is %q, must be %s", ErrBinding, k.Type, b.GetDirection(),
			strings.Join(allowed, " or "))
	}
	props, err := properties(b)
	if err != nil {
		return k.Trigger, fmt.Errorf("%w: %s: %w", ErrBinding, k.Type, err)
	}
	for name := range props {
		if !slices.Contains(k.Properties, name) {
			return k.Trigger, fmt.Errorf("%w: %s: unknown property %q", ErrBinding, k.Type, name)
		}
	}
	if k.Check != nil {
		if err := k.Check(props); err != nil {
			return k.Trigger, fmt.Errorf("%w: %s: %w", ErrBinding, k.Type, err)
		}
	}
	return k.Trigger, nil
}

func properties(b *protocol.Binding) (map[string]json.RawMessage, error) {
	var props map[string]json.RawMessage
	if b.GetProperties() == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(b.GetProperties()), &props); err != nil {
		return nil, fmt.Errorf("properties: must be one JSON object: %w", err)
	}
	return props, nil
}

// StringProperty reads an optional property that must be a string; "" when it is
// absent.
func StringProperty(props map[string]json.RawMessage, name string) (string, error) {
	raw, ok := props[name]
	if !ok {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("property %q must be a string", name)
	}
	return s, nil
}

// Target is the name under which a durable function is called: the property of
// that name, or the function's own name (F§6.2).
func Target(function string, b *protocol.Binding, property string) string {
	props, err := properties(b)
	if err != nil {
		return function
	}
	if s, err := StringProperty(props, property); err == nil && s != "" {
		return s
	}
	return function
}
