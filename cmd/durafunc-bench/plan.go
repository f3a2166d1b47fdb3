package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// workload is one row of the report.
type workload struct {
	id      string
	title   string
	item    string // what costs are divided by: one instance, activity, child or step
	n       int
	quick   int // n of the quick form
	clients int
	run     func(b *bench, ctx context.Context, n, clients int) (map[string]float64, usage, error)
	// headline is the figure that stands for the workload, in unit.
	headline, unit string
}

// workloads are those of the peers' benchmark, W1a to W5; w1c is the closed loop from
// which bound and aim of W1b come. They differ in what a client does: w1b starts
// everything and then waits, w1c has one instance per client under way.
func workloads() []workload {
	return []workload{
		{id: "w1a", title: "hello x3, one at a time", item: "instance", n: 300, quick: 100, clients: 1, headline: "p50_ms", unit: "ms",
			run: func(b *bench, ctx context.Context, n, _ int) (map[string]float64, usage, error) {
				return b.sequential(ctx, n)
			}},
		{id: "w1b", title: "hello x3, all started, then waited for", item: "instance", n: 5000, quick: 2000, clients: 64, headline: "per_s", unit: "/s",
			run: (*bench).open},
		{id: "w1c-64", title: "hello x3, closed loop", item: "instance", n: 5000, quick: 2000, clients: 64, headline: "per_s", unit: "/s",
			run: (*bench).closedLoop},
		{id: "w1c-256", title: "hello x3, closed loop", item: "instance", n: 10000, quick: 3000, clients: 256, headline: "per_s", unit: "/s",
			run: (*bench).closedLoop},
		{id: "w2-1000", title: "fan-out to activities", item: "activity", n: 1000, quick: 1000, headline: "total_s", unit: "s", run: runSingle("FanOut")},
		{id: "w2-10000", title: "fan-out to activities", item: "activity", n: 10000, quick: 3000, headline: "total_s", unit: "s", run: runSingle("FanOut")},
		{id: "w3-100", title: "hello children", item: "child", n: 100, quick: 100, headline: "total_s", unit: "s", run: runSingle("Parent")},
		{id: "w3-1000", title: "hello children", item: "child", n: 1000, quick: 1000, headline: "total_s", unit: "s", run: runSingle("Parent")},
		{id: "w4", title: "waiting for an event, then raised to all", item: "instance", n: 10000, quick: 2000, clients: 64, headline: "completed_s", unit: "s",
			run: (*bench).waiting},
		{id: "w5", title: "activities in sequence", item: "step", n: 2000, quick: 500, headline: "total_s", unit: "s",
			run: func(b *bench, ctx context.Context, n, _ int) (map[string]float64, usage, error) {
				return b.long(ctx, n)
			}},
		{id: "recovery", title: "a killed host serves so many live instances again", item: "instance", n: 100000, quick: 5000, clients: 64, headline: "serving_s", unit: "s",
			run: (*bench).recovery},
		{id: "flat", title: "w1c-64 after so many finished instances", item: "instance", n: 100000, quick: 10000, clients: 64, headline: "ratio", unit: "of before",
			run: (*bench).flatness},
	}
}

func runSingle(name string) func(b *bench, ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	return func(b *bench, ctx context.Context, n, _ int) (map[string]float64, usage, error) {
		return b.single(ctx, name, n)
	}
}

// flatRuns are the measurements before and after, of which the median counts.
const flatRuns = 3

// flatness compares the throughput of a new hub with that of one that holds n finished
// instances. What it cost is that of the filling.
func (b *bench) flatness(ctx context.Context, n, clients int) (map[string]float64, usage, error) {
	probe := func() (float64, error) {
		var rates []float64
		for range flatRuns {
			f, _, err := b.closedLoop(ctx, min(3000, n), clients)
			if err != nil {
				return 0, err
			}
			rates = append(rates, f["per_s"])
		}
		return median(rates), nil
	}
	before, err := probe()
	if err != nil {
		return nil, usage{}, err
	}
	_, u, err := b.closedLoop(ctx, n, 4*clients)
	if err != nil {
		return nil, u, err
	}
	after, err := probe()
	return map[string]float64{"before_per_s": before, "after_per_s": after, "ratio": after / before}, u, err
}

// choose picks the workloads that the names mean, in their own order: a whole id means
// one workload, a beginning all that have it.
func choose(names []string) ([]workload, error) {
	all := workloads()
	picked := map[string]bool{}
	for _, name := range names {
		name = strings.ToLower(name)
		whole := slices.ContainsFunc(all, func(w workload) bool { return w.id == name })
		found := false
		for _, w := range all {
			if w.id == name || !whole && strings.HasPrefix(w.id, name) {
				found, picked[w.id] = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("--workloads: %q is none of them", name)
		}
	}
	return slices.DeleteFunc(all, func(w workload) bool { return !picked[w.id] }), nil
}
