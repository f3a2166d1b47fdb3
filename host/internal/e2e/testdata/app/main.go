// The function app of the end-to-end tests: one orchestrator for each thing to show.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/durafunc/durafunc/plugins/durable"
)

// version is set by the linker, so that a test can tell which build has run.
var version = "1"

func main() {
	app := durable.NewApp("e2e", durable.WithVersion(version))
	durable.Orchestrator(app, "Versions", versions)
	durable.Orchestrator(app, "Big", big)
	durable.Orchestrator(app, "TooBig", tooBig)
	durable.Orchestrator(app, "Parent", parent)
	durable.Orchestrator(app, "Child", child)
	durable.Orchestrator(app, "Loop", loop)
	durable.Orchestrator(app, "Sleep", sleep)
	durable.Orchestrator(app, "Chain", chain)
	durable.Orchestrator(app, "Fail", fail)
	durable.Orchestrator(app, "Die", die)
	durable.Orchestrator(app, "Hang", hang)
	durable.Orchestrator(app, "Fan", fan)
	durable.Orchestrator(app, "Double", double)
	durable.Orchestrator(app, "Ticker", ticker)
	durable.Activity(app, "Version", func(context.Context, any) (string, error) { return version, nil })
	durable.Activity(app, "Make", func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil })
	durable.Activity(app, "Measure", func(_ context.Context, s string) (int, error) { return len(s), nil })
	durable.Activity(app, "Add", func(_ context.Context, n int) (int, error) { return n + 1, nil })
	durable.Activity(app, "Refuse", func(context.Context, any) (any, error) { return nil, fmt.Errorf("refused on purpose") })
	durable.Activity(app, "Exit", exit)
	durable.Activity(app, "Minute", minute)
	app.Serve()
}

// versions says which build ran an activity before and after the event Go.
func versions(ctx *durable.OrchestrationContext, _ any) ([]string, error) {
	before, err := durable.CallActivity[string](ctx, "Version", nil).Await()
	if err != nil {
		return nil, err
	}
	if err := ctx.SetCustomStatus(map[string]string{"before": before}); err != nil {
		return nil, err
	}
	if _, err := durable.WaitForExternalEvent[any](ctx, "Go").Await(); err != nil {
		return nil, err
	}
	after, err := durable.CallActivity[string](ctx, "Version", nil).Await()
	return []string{before, after}, err
}

// big lets n bytes travel as a result, as an input, and as the output.
func big(ctx *durable.OrchestrationContext, n int) (string, error) {
	made, err := durable.CallActivity[string](ctx, "Make", n).Await()
	if err != nil {
		return "", err
	}
	measured, err := durable.CallActivity[int](ctx, "Measure", made).Await()
	if err == nil && measured != n {
		err = fmt.Errorf("%d bytes arrived, %d were sent", measured, n)
	}
	return made, err
}

// tooBig reports how a result and an input fail that are above the limit of n bytes.
func tooBig(ctx *durable.OrchestrationContext, n int) ([]string, error) {
	_, asResult := durable.CallActivity[string](ctx, "Make", n).Await()
	_, asInput := durable.CallActivity[int](ctx, "Measure", strings.Repeat("x", n)).Await()
	return []string{fmt.Sprint(asResult), fmt.Sprint(asInput)}, nil
}

// parent runs a child under the id given, and reports its output or how it failed.
func parent(ctx *durable.OrchestrationContext, id string) (string, error) {
	out, err := durable.CallSubOrchestrator[string](ctx, "Child", nil, durable.WithInstanceID(id)).Await()
	if err != nil {
		return "failed: " + err.Error(), nil
	}
	return out, nil
}

// child ends with the data of the event Go.
func child(ctx *durable.OrchestrationContext, _ any) (string, error) {
	return durable.WaitForExternalEvent[string](ctx, "Go").Await()
}

// count is the input of loop.
type count struct {
	Left, Done int
	Events     int // that were raised for earlier executions and carried
}

// loop waits for the event Begin, and then begins anew until nothing is left; each
// execution runs an activity. The last one takes the events Tick that came meanwhile.
func loop(ctx *durable.OrchestrationContext, in count) (count, error) {
	if in.Done == 0 {
		if _, err := durable.WaitForExternalEvent[any](ctx, "Begin").Await(); err != nil {
			return in, err
		}
	}
	n, err := durable.CallActivity[int](ctx, "Add", in.Done).Await()
	if err != nil {
		return in, err
	}
	in.Done, in.Left = n, in.Left-1
	if in.Left > 0 {
		return in, ctx.ContinueAsNew(in)
	}
	for {
		_, err := durable.WaitForExternalEvent[any](ctx, "Tick", durable.WithTimeout(0)).Await()
		if err != nil {
			return in, nil
		}
		in.Events++
	}
}

// sleep waits for so many milliseconds and says how many passed.
func sleep(ctx *durable.OrchestrationContext, millis int) (int64, error) {
	from := ctx.CurrentUTCDateTime()
	_, err := durable.CreateTimer(ctx, time.Duration(millis)*time.Millisecond).Await()
	return ctx.CurrentUTCDateTime().Sub(from).Milliseconds(), err
}

// chain calls n activities one after the other.
func chain(ctx *durable.OrchestrationContext, n int) (int, error) {
	sum := 0
	for range n {
		var err error
		if sum, err = durable.CallActivity[int](ctx, "Add", sum).Await(); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// fan adds up what n children make of their numbers: n * (n - 1).
func fan(ctx *durable.OrchestrationContext, n int) (int, error) {
	children := make([]durable.Task[int], n)
	for i := range children {
		children[i] = durable.CallSubOrchestrator[int](ctx, "Double", i)
	}
	doubled, err := durable.WhenAll(ctx, children...).Await()
	sum := 0
	for _, d := range doubled {
		sum += d
	}
	return sum, err
}

func double(_ *durable.OrchestrationContext, n int) (int, error) { return 2 * n, nil }

// ticks is what ticker has seen.
type ticks struct {
	Ticks int
	Last  time.Time
	Worst time.Duration // the longest time between two ticks
}

// ticker runs an activity after each timer of 50 ms until the event Stop, and reports the
// longest pause.
func ticker(ctx *durable.OrchestrationContext, in ticks) (ticks, error) {
	stop := durable.WaitForExternalEvent[any](ctx, "Stop")
	for range 20 {
		timer := durable.CreateTimer(ctx, 50*time.Millisecond)
		first, err := durable.WhenAny(ctx, timer, stop).Await()
		if err != nil {
			return in, err
		}
		if _, err := durable.CallActivity[int](ctx, "Add", in.Ticks).Await(); err != nil {
			return in, err
		}
		now := ctx.CurrentUTCDateTime()
		if in.Ticks > 0 {
			in.Worst = max(in.Worst, now.Sub(in.Last))
		}
		in.Ticks, in.Last = in.Ticks+1, now
		if first == 1 {
			return in, nil
		}
	}
	return in, ctx.ContinueAsNew(in)
}

// fail lets an activity's error through.
func fail(ctx *durable.OrchestrationContext, _ any) (any, error) {
	return durable.CallActivity[any](ctx, "Refuse", nil).Await()
}

// die calls an activity that takes the process with it the first time.
func die(ctx *durable.OrchestrationContext, _ any) (int, error) {
	return durable.CallActivity[int](ctx, "Exit", nil).Await()
}

func exit(ctx context.Context, _ any) (int, error) {
	attempt := durable.Info(ctx).Attempt
	if attempt == 1 {
		os.Exit(3)
	}
	return attempt, nil
}

// hang calls an activity that takes its time and does not care that nobody waits.
func hang(ctx *durable.OrchestrationContext, _ any) (any, error) {
	return durable.CallActivity[any](ctx, "Minute", nil).Await()
}

func minute(context.Context, any) (any, error) {
	time.Sleep(time.Minute)
	return nil, nil
}
