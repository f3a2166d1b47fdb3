// The function app of the chaos run; package workload says what each function promises.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
	"github.com/durafunc/durafunc/plugins/durable"
)

func main() {
	app := durable.NewApp("chaos")
	durable.Orchestrator(app, workload.SumName, sum)
	durable.Orchestrator(app, workload.TreeName, tree)
	durable.Orchestrator(app, workload.ChainName, chain)
	durable.Orchestrator(app, workload.CounterName, counter)
	durable.Orchestrator(app, workload.CourierName, courier)
	durable.Orchestrator(app, workload.GateName, gate)
	durable.Activity(app, workload.Square, func(_ context.Context, n int) (int, error) { return n * n, nil })
	durable.Activity(app, workload.Next, func(_ context.Context, n int) (int, error) { return n + 1, nil })
	durable.Activity(app, workload.Leaf, leaf)
	app.Serve()
}

func sum(ctx *durable.OrchestrationContext, in workload.Sum) (int, error) {
	tasks := make([]durable.Task[int], in.N)
	for i := range tasks {
		tasks[i] = durable.CallActivity[int](ctx, workload.Square, i)
	}
	squares, err := durable.WhenAll(ctx, tasks...).Await()
	total := 0
	for _, s := range squares {
		total += s
	}
	return total, err
}

func tree(ctx *durable.OrchestrationContext, in workload.Tree) (workload.TreeSum, error) {
	if in.Depth == 0 {
		value, err := durable.CallActivity[int](ctx, workload.Leaf, in).Await()
		return workload.TreeSum{Leaves: 1, Sum: value}, err
	}
	children := make([]durable.Task[workload.TreeSum], in.Width)
	for n := range children {
		child := in.Child(n)
		children[n] = durable.CallSubOrchestrator[workload.TreeSum](ctx, workload.TreeName, child, durable.WithInstanceID(child.Path))
	}
	total := workload.TreeSum{}
	for _, child := range children {
		out, err := child.Await()
		var failed *durable.TaskFailedError
		switch {
		case errors.As(err, &failed) && in.Depth == 1:
			out = workload.TreeSum{Leaves: 1, Failed: 1}
		case err != nil:
			return total, err
		}
		total = total.Add(out)
	}
	return total, nil
}

func leaf(_ context.Context, in workload.Tree) (int, error) {
	if in.Fails() {
		return 0, fmt.Errorf(workload.Failing, in.Path)
	}
	return workload.Value(in.Path), nil
}

func chain(ctx *durable.OrchestrationContext, in workload.Chain) (int, error) {
	n := 0
	for step := range in.Steps {
		var err error
		if n, err = durable.CallActivity[int](ctx, workload.Next, n).Await(); err != nil {
			return n, err
		}
		if step%2 == 1 {
			if _, err := durable.CreateTimer(ctx, time.Duration(in.Millis)*time.Millisecond).Await(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// linger is how long a counter that is complete waits for messages that came twice.
const linger = time.Second

func counter(ctx *durable.OrchestrationContext, in workload.Counter) (workload.Counter, error) {
	if err := ctx.SetCustomStatus(workload.Show(in.Seen)); err != nil {
		return in, err
	}
	for range workload.PerRound {
		wait := time.Duration(-1)
		if in.Complete() {
			wait = linger
		}
		m, err := durable.WaitForExternalEvent[workload.Msg](ctx, workload.Message, durable.WithTimeout(wait)).Await()
		switch {
		case errors.Is(err, durable.ErrTimeout):
			return in, nil
		case err != nil:
			return in, err
		case m.Must != nil:
			in.Closed, in.Must = true, m.Must
		default:
			in.Seen = append(in.Seen, m.ID)
		}
		if err := ctx.SetCustomStatus(workload.Show(in.Seen)); err != nil {
			return in, err
		}
	}
	return in, ctx.ContinueAsNew(in)
}

func courier(ctx *durable.OrchestrationContext, in workload.Courier) (int, error) {
	n := 0
	for i := range in.N {
		if err := ctx.SendEvent(in.To, workload.Message, workload.Msg{ID: workload.MessageID(ctx.InstanceID(), i)}); err != nil {
			return n, err
		}
		var err error
		if n, err = durable.CallActivity[int](ctx, workload.Next, n).Await(); err != nil {
			return n, err
		}
	}
	return n, nil
}

func gate(ctx *durable.OrchestrationContext, _ any) (string, error) {
	return durable.WaitForExternalEvent[string](ctx, workload.Go).Await()
}
