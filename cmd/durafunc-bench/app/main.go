// App is the function app of the benchmark: the workloads of docs/benchmarks.md as
// an author would write them, and activities through which the driver looks into
// this process.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"

	"github.com/durafunc/durafunc/plugins/durable"
)

func main() {
	app := durable.NewApp("bench")
	durable.Orchestrator(app, "Hello", Hello)
	durable.Orchestrator(app, "FanOut", FanOut)
	durable.Orchestrator(app, "Parent", Parent)
	durable.Orchestrator(app, "Event", Event)
	durable.Orchestrator(app, "Long", Long)
	durable.Orchestrator(app, "Collect", Collect)
	durable.Orchestrator(app, "Profile", Profile)
	durable.Activity(app, "SayHello", SayHello)
	durable.Activity(app, "Number", Number)
	durable.Activity(app, "CollectGarbage", CollectGarbage)
	durable.Activity(app, "SwitchProfile", SwitchProfile)
	app.Serve()
}

// Hello calls three activities one after the other (W1).
func Hello(ctx *durable.OrchestrationContext, _ int) ([]string, error) {
	var greetings []string
	for _, city := range [...]string{"Tokyo", "Seattle", "London"} {
		greeting, err := durable.CallActivity[string](ctx, "SayHello", city).Await()
		if err != nil {
			return nil, err
		}
		greetings = append(greetings, greeting)
	}
	return greetings, nil
}

// FanOut calls n activities at once and sums their results (W2).
func FanOut(ctx *durable.OrchestrationContext, n int) (int, error) {
	calls := make([]durable.Task[int], n)
	for i := range calls {
		calls[i] = durable.CallActivity[int](ctx, "Number", i)
	}
	numbers, err := durable.WhenAll(ctx, calls...).Await()
	sum := 0
	for _, v := range numbers {
		sum += v
	}
	return sum, err
}

// Parent runs n Hello children at once (W3).
func Parent(ctx *durable.OrchestrationContext, n int) (int, error) {
	children := make([]durable.Task[[]string], n)
	for i := range children {
		children[i] = durable.CallSubOrchestrator[[]string](ctx, "Hello", i)
	}
	greetings, err := durable.WhenAll(ctx, children...).Await()
	return len(greetings), err
}

// Event waits for one external event (W4).
func Event(ctx *durable.OrchestrationContext, _ int) (int, error) {
	return durable.WaitForExternalEvent[int](ctx, "Go").Await()
}

// Long calls n activities one after the other (W5).
func Long(ctx *durable.OrchestrationContext, n int) (int, error) {
	sum := 0
	for i := range n {
		v, err := durable.CallActivity[int](ctx, "Number", i).Await()
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// Collect lets the process give back memory that it does not need.
func Collect(ctx *durable.OrchestrationContext, _ int) (bool, error) {
	return durable.CallActivity[bool](ctx, "CollectGarbage", 0).Await()
}

// Profile begins a CPU profile of this process in a file; an empty name ends it.
func Profile(ctx *durable.OrchestrationContext, file string) (bool, error) {
	return durable.CallActivity[bool](ctx, "SwitchProfile", file).Await()
}

// SayHello greets a city.
func SayHello(_ context.Context, city string) (string, error) { return "Hello " + city + "!", nil }

// Number answers its input.
func Number(_ context.Context, i int) (int, error) { return i, nil }

// CollectGarbage leaves only what is live in this process's memory.
func CollectGarbage(context.Context, int) (bool, error) {
	runtime.GC()
	debug.FreeOSMemory()
	return true, nil
}

// profile is the file of the profile under way. The driver switches one at a time.
var profile *os.File

// SwitchProfile begins a CPU profile in file, or ends the one under way for "".
func SwitchProfile(_ context.Context, file string) (bool, error) {
	if file == "" {
		pprof.StopCPUProfile()
		if profile == nil {
			return false, nil
		}
		defer func() { profile = nil }()
		return true, profile.Close()
	}
	f, err := os.Create(file)
	if err != nil {
		return false, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return false, fmt.Errorf("profile: %w", err)
	}
	profile = f
	return true, nil
}
