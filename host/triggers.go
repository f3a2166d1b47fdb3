package host

import (
	"context"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/trigger"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// newRegistry is the kinds of bindings that a host serves, a line each, and further ones.
func newRegistry(further ...trigger.Kind) *trigger.Registry {
	return trigger.NewRegistry(append([]trigger.Kind{
		orchestration.Kind,
		activity.Kind,
		durableclient.Kind,
	}, further...)...)
}

// newListeners prepares what starts functions from outside. It listens to nothing until
// function apps are loaded.
func (h *Host) newListeners() *trigger.Listeners {
	return trigger.NewListeners(h.registry, trigger.Env{
		Invoke: h.work.Invoke, Handle: h.mux.Handle, Log: h.opts.Log.Named("trigger"),
	})
}

func (h *Host) closeTriggers(ctx context.Context) error { return h.triggers.Stop(ctx) }

// bound is the triggers of what the function apps have.
func bound(functions []supervisor.Function) []trigger.Bound {
	list := make([]trigger.Bound, 0, len(functions))
	for _, f := range functions {
		list = append(list, trigger.Bound{Function: f.Name, Trigger: f.Trigger})
	}
	return list
}
