// Command triggered is a function app whose functions something outside the engine calls.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/durafunc/durafunc/plugins/durable"
)

type person struct{ Name string }

func main() {
	app := durable.NewApp("triggered")
	on := durable.Trigger{Type: "testTrigger", Settings: map[string]string{"path": "greet"}}
	durable.Function(app, "Greet", on, func(_ context.Context, p person) (string, error) { return "Hello, " + p.Name + "!", nil })
	durable.Function(app, "Fail", on, func(context.Context, struct{}) (int, error) { return 0, errors.New("no luck") })
	durable.Function(app, "Die", on, func(context.Context, struct{}) (int, error) {
		os.Exit(3)
		return 0, nil
	})
	durable.Function(app, "Refused", durable.Trigger{Type: "unheardOfTrigger"},
		func(context.Context, struct{}) (int, error) { return 0, nil })
	app.Serve()
}
