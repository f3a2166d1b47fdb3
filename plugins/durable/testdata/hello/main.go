// Command hello is the smallest function app; tests build and run it.
package main

import (
	"context"

	"github.com/durafunc/durafunc/plugins/durable"
)

func main() {
	app := durable.NewApp("hello", durable.WithVersion("1.2"))
	durable.Orchestrator(app, "Hello", func(ctx *durable.OrchestrationContext, name string) (string, error) {
		return durable.CallActivity[string](ctx, "SayHello", name).Await()
	})
	durable.Activity(app, "SayHello", func(_ context.Context, name string) (string, error) {
		return "Hello, " + name + "!", nil
	})
	app.Serve()
}
