package dispatch

import (
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/trigger"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

var _ supervisor.Handler = (*Dispatcher)(nil)

// FromApps makes of what a supervisor serves what SetFunctions takes: the host calls both
// from the supervisor's OnChange. What is not durable has some other trigger.
func FromApps(r *trigger.Registry, fns []supervisor.Function) []Function {
	var out []Function
	for _, f := range fns {
		t, err := r.Type(f.Trigger)
		if err != nil {
			continue // the supervisor has reported it
		}
		d := Function{App: f.App, Function: f.Name, Bindings: f.Bindings}
		switch t {
		case orchestration.Type:
			d.Kind, d.Name = Orchestrator, orchestration.Target(f.Name, f.Trigger)
		case activity.Type:
			d.Kind, d.Name = Activity, activity.Target(f.Name, f.Trigger)
		default:
			d.Kind, d.Name = Triggered, f.Name
		}
		if f.Handle != nil { // a nil *Handle would be a non-nil App
			d.Handle = f.Handle
		}
		out = append(out, d)
	}
	return out
}
