// Hello is the smallest function app: one orchestration that calls one activity.
package main

import (
	"context"

	"github.com/durafunc/durafunc/plugins/durable"
)

func main() {
	app := durable.NewApp("hello")
	durable.Orchestrator(app, "Hello", Hello)
	durable.Activity(app, "SayHello", SayHello)
	app.Serve()
}

// Hello greets somebody by name.
func Hello(ctx *durable.OrchestrationContext, name string) (string, error) {
	return durable.CallActivity[string](ctx, "SayHello", name).Await()
}

// SayHello is an activity: unlike an orchestrator it may do whatever it likes.
func SayHello(_ context.Context, name string) (string, error) {
	if name == "" {
		name = "world"
	}
	return "Hello, " + name + "!", nil
}
