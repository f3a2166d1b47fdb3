package sched

import (
	"context"
	"slices"
	"sync"
)

// Group runs functions beside its owner, who waits for their end. Its methods may be
// called concurrently, also from a function that it runs.
type Group struct {
	runner Runner

	mu      sync.Mutex
	running []Signal // fire when a function has ended
}

// NewGroup makes a Group in which nothing runs.
func NewGroup(r Runner) *Group { return &Group{runner: r} }

// Go runs f beside the caller.
func (g *Group) Go(f func()) {
	ended := g.runner.NewSignal()
	g.mu.Lock()
	g.running = append(slices.DeleteFunc(g.running, Signal.Fired), ended)
	g.mu.Unlock()
	g.runner.Go(func() {
		defer ended.Fire()
		f()
	})
}

// Wait blocks until everything that was begun has ended, or returns ctx's cause.
func (g *Group) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		g.running = slices.DeleteFunc(g.running, Signal.Fired)
		running := slices.Clone(g.running)
		g.mu.Unlock()
		if len(running) == 0 {
			return nil
		}
		for _, ended := range running {
			if err := ended.Wait(ctx); err != nil {
				return err
			}
		}
	}
}
