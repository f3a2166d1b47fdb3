package durable_test

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/plugins/durable"
)

// An app with one orchestrator and one activity. Build it and copy the executable
// into the functions directory of a host.
func Example() {
	app := durable.NewApp("greetings")
	durable.Orchestrator(app, "GreetAll", func(ctx *durable.OrchestrationContext, names []string) ([]string, error) {
		calls := make([]durable.Task[string], len(names))
		for i, name := range names {
			calls[i] = durable.CallActivity[string](ctx, "Greet", name)
		}
		return durable.WhenAll(ctx, calls...).Await()
	})
	durable.Activity(app, "Greet", func(_ context.Context, name string) (string, error) {
		return "Hello, " + name + "!", nil
	})
	app.Serve()
}

// Calls a flaky activity at most five times: after 1, 2, 4 and 8 seconds.
func ExampleWithRetry() {
	policy := durable.RetryPolicy{FirstRetryInterval: time.Second, MaxNumberOfAttempts: 5, BackoffCoefficient: 2}
	app := durable.NewApp("payments")
	durable.Orchestrator(app, "Pay", func(ctx *durable.OrchestrationContext, order string) (string, error) {
		return durable.CallActivity[string](ctx, "Charge", order, durable.WithRetry(policy)).Await()
	})
	app.Serve()
}

// Waits for a person for at most a day.
func ExampleWaitForExternalEvent() {
	app := durable.NewApp("approvals")
	durable.Orchestrator(app, "Approve", func(ctx *durable.OrchestrationContext, request string) (bool, error) {
		approved, err := durable.WaitForExternalEvent[bool](ctx, "Approval", durable.WithTimeout(24*time.Hour)).Await()
		if errors.Is(err, durable.ErrTimeout) {
			return false, nil
		}
		return approved, err
	})
	app.Serve()
}

// Takes whichever comes first.
func ExampleWhenAny() {
	app := durable.NewApp("races")
	durable.Orchestrator(app, "Race", func(ctx *durable.OrchestrationContext, _ struct{}) (string, error) {
		work := durable.CallActivity[string](ctx, "Work", nil)
		deadline := durable.CreateTimer(ctx, time.Hour)
		first, err := durable.WhenAny(ctx, work, deadline).Await()
		if err != nil || first == 1 {
			return "too late", err
		}
		deadline.Cancel()
		return work.Await()
	})
	app.Serve()
}

// Runs for ever with a short history: each round is an execution of its own.
func ExampleOrchestrationContext_ContinueAsNew() {
	app := durable.NewApp("monitor")
	durable.Orchestrator(app, "Monitor", func(ctx *durable.OrchestrationContext, round int) (struct{}, error) {
		if _, err := durable.CreateTimer(ctx, time.Minute).Await(); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, ctx.ContinueAsNew(round + 1)
	})
	app.Serve()
}
