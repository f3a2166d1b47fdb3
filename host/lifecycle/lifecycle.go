// Package lifecycle starts and stops the services of a process in order, so that each of
// them says once how it begins and how it ends.
package lifecycle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Service is something that runs beside others.
type Service interface {
	// Start returns when the service runs, or with an error when nothing of it does. It
	// returns soon after ctx ends; a service that runs does not end with ctx.
	Start(ctx context.Context) error
	// Stop ends the service and returns when it has ended. When ctx ends first it
	// abandons what can be abandoned and returns soon.
	Stop(ctx context.Context) error
}

// Funcs makes a Service of two functions; nil does nothing.
type Funcs struct {
	OnStart, OnStop func(ctx context.Context) error
}

// Start implements Service.
func (f Funcs) Start(ctx context.Context) error { return call(ctx, f.OnStart) }

// Stop implements Service.
func (f Funcs) Stop(ctx context.Context) error { return call(ctx, f.OnStop) }

func call(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

// Errors of Group.Start.
var (
	// ErrStopped means that Stop was called before Start had returned.
	ErrStopped = errors.New("stopped")
	// ErrStarted means that Start was called before.
	ErrStarted = errors.New("already started")
)

// giveUp bounds the stop of what a failed start has started.
const giveUp = 10 * time.Second

// Group is a Service of several. Its methods may be called concurrently.
type Group struct {
	services []Service

	mu      sync.Mutex
	cancel  context.CancelCauseFunc // of Start's context
	started chan struct{}           // closed when nothing is started any more; nil before Start
	stopped chan struct{}           // closed when Stop is done; nil before Stop

	running []Service // written by Start until started is closed
	err     error     // of Stop; written until stopped is closed
}

// NewGroup takes services in the order in which they are started; they are stopped in the
// reverse one.
func NewGroup(services ...Service) *Group {
	return &Group{services: services}
}

// Start starts one service after the other. If one fails, those that run are stopped
// again, for which giveUp is allowed. Errors beside those of the services: ErrStarted,
// ErrStopped.
func (g *Group) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := g.begin(cancel); err != nil {
		return err
	}
	err := g.startEach(ctx)
	close(g.started)
	if err == nil {
		return nil
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), giveUp)
	defer done()
	return errors.Join(err, g.Stop(stop))
}

func (g *Group) begin(cancel context.CancelCauseFunc) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped != nil:
		return ErrStopped
	case g.started != nil:
		return ErrStarted
	}
	g.cancel, g.started = cancel, make(chan struct{})
	return nil
}

func (g *Group) startEach(ctx context.Context) error {
	for _, s := range g.services {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := s.Start(ctx); err != nil {
			return err
		}
		g.running = append(g.running, s)
	}
	return context.Cause(ctx)
}

// Stop stops what runs, the last one first, and joins the errors. Each service is stopped
// even if ctx has ended or another one has failed, and the deadline of ctx is the
// deadline of all of them together. A Start that is at work is cancelled first. Called
// again, it waits for the end of the first call or of ctx.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	if done := g.stopped; done != nil {
		g.mu.Unlock()
		select {
		case <-done:
			return g.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	g.stopped = make(chan struct{})
	started := g.started
	if g.cancel != nil {
		g.cancel(ErrStopped)
	}
	g.mu.Unlock()
	defer close(g.stopped)
	if started == nil {
		return nil
	}
	<-started
	for _, s := range slices.Backward(g.running) {
		g.err = errors.Join(g.err, s.Stop(ctx))
	}
	return g.err
}
