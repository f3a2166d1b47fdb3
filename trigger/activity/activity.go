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

// Work makes the invocation of it, numbered id on the wire.
func Work(id uint64, it *work.Item) *protocol.ActivityWork {
	w := &protocol.ActivityWork{
		Work:        id,
		Name:        it.Name,
		InstanceId:  it.Instance,
		ExecutionId: it.Execution,
		TaskId:      it.ID,
		Attempt:     uint32(it.Attempt),
	}
	if it.Version != "" {
		w.Version = wrapperspb.String(it.Version)
	}
	if in := it.Activity.Input; in != nil {
		w.Input = wrapperspb.String(*in)
	}
	return w
}

// Result fills dst with the app's answer.
func Result(dst *work.ActivityResult, r *protocol.ActivityResult) {
	*dst = work.ActivityResult{Failure: r.GetFailure()}
	if v := r.GetResult(); v != nil && dst.Failure == nil {
		dst.Result = &v.Value
	}
}
