package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/trigger"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// newRegistry is the kinds of bindings that a host serves, a line each.
func newRegistry() *trigger.Registry {
	return trigger.NewRegistry(
		orchestration.Kind,
		activity.Kind,
		durableclient.Kind,
	)
}

// newListeners prepares what starts functions from outside. It listens to nothing until
// function apps are loaded.
func (h *Host) newListeners() *trigger.Listeners {
	return trigger.NewListeners(h.registry, trigger.Env{
		Invoke: h.invoke, Handle: h.mux.Handle, Log: h.opts.Log.Named("trigger"),
	})
}

func (h *Host) closeTriggers(ctx context.Context) error { return h.triggers.Stop(ctx) }

// errInvoke means that function apps take orchestrators and activities only.
var errInvoke = errors.New("this host cannot call functions by other triggers yet")

// invoke calls a function of this host for its trigger.
func (h *Host) invoke(_ context.Context, function string, _ []byte) ([]byte, error) {
	return nil, fmt.Errorf("function %q: %w", function, errInvoke)
}

// bound is the triggers of what the function apps have.
func bound(functions []supervisor.Function) []trigger.Bound {
	list := make([]trigger.Bound, 0, len(functions))
	for _, f := range functions {
		list = append(list, trigger.Bound{Function: f.Name, Trigger: f.Trigger})
	}
	return list
}
