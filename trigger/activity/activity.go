// Package activity is the activityTrigger: an activity call of the engine in, an
// invocation of a function app out, and back.
package activity

import (
	"encoding/json"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger"
)

// Type is the binding's type.
const Type = "activityTrigger"

// Kind describes the binding (F§6.2).
var Kind = trigger.Kind{
	Type:       Type,
	Trigger:    true,
	Properties: []string{"activity", "durableRequiresGrpc"},
	Check: func(props map[string]json.RawMessage) error {
		_, err := trigger.StringProperty(props, "activity")
		return err
	},
}

// Target is the activity name that calls a function by this trigger.
func Target(function string, b *protocol.Binding) string {
	return trigger.Target(function, b, "activity")
}

// Work makes the invocation of a, numbered id on the wire.
func Work(id uint64, a *work.Activity) *protocol.ActivityWork {
	w := &protocol.ActivityWork{
		Work:        id,
		Name:        a.Name,
		InstanceId:  a.Instance,
		ExecutionId: a.Execution,
		TaskId:      a.TaskID,
		Attempt:     uint32(a.Attempt),
	}
	if a.Version != "" {
		w.Version = wrapperspb.String(a.Version)
	}
	if a.Input != nil {
		w.Input = wrapperspb.String(*a.Input)
	}
	return w
}

// Result fills dst with the app's answer to the call of token t.
func Result(dst *work.ActivityResult, t work.Token, r *protocol.ActivityResult) {
	*dst = work.ActivityResult{Token: t, Failure: r.GetFailure()}
	if v := r.GetResult(); v != nil && dst.Failure == nil {
		dst.Result = &v.Value
	}
}
