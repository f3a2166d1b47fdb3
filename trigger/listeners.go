package trigger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	// stopTime bounds the stop of a listener whose function has changed or gone.
	stopTime = 30 * time.Second
	// The pauses between attempts to start a listener begin with retryFirst and double
	// up to retryMost.
	retryFirst = time.Second
	retryMost  = time.Minute
)

// Listeners has a Service at work for each function whose kind of trigger listens. One
// function's listener neither waits for that of another nor ends with it. Its methods
// may be called concurrently.
type Listeners struct {
	registry *Registry
	env      Env

	life    context.Context // of all that listens; ends when Stop begins
	end     context.CancelFunc
	drain   context.Context // of stopping it; ends when Stop gives up
	abandon context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	list map[string]*listener // by function, in lower case
}

// listener is one goroutine: it starts a service, waits, and stops it again.
type listener struct {
	kind  Kind
	bound Bound
	end   context.CancelFunc
	ended chan struct{} // closed when its service is stopped

	// Guarded by Listeners.mu.
	replaced bool  // it ends, or has ended
	err      error // why it does not listen; nil: it does, or tries for the first time
}

// NewListeners makes Listeners of no function. Of env, each gets the log under its name.
func NewListeners(registry *Registry, env Env) *Listeners {
	l := &Listeners{registry: registry, env: env, list: make(map[string]*listener)}
	l.life, l.end = context.WithCancel(context.Background())
	l.drain, l.abandon = context.WithCancel(context.Background())
	return l
}

// Set says which functions there are now; it returns at once. The listener of a function
// that is there as before goes on, also when another app has it. One that has changed
// ends before its successor starts. After Stop it does nothing.
func (l *Listeners) Set(functions []Bound) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() != nil {
		return
	}
	there := make(map[string]bool)
	for _, b := range functions {
		kind, ok := l.registry.kind(b.Trigger)
		if !ok || kind.Listen == nil {
			continue
		}
		key := strings.ToLower(b.Function)
		there[key] = true
		l.setLocked(key, kind, b)
	}
	for key, old := range l.list {
		if !there[key] {
			old.replaced = true
			old.end()
		}
	}
}

func (l *Listeners) setLocked(key string, kind Kind, b Bound) {
	old := l.list[key]
	if old != nil && !old.replaced && old.bound.Function == b.Function && proto.Equal(old.bound.Trigger, b.Trigger) {
		return
	}
	ctx, end := context.WithCancel(l.life)
	next := &listener{kind: kind, bound: b, end: end, ended: make(chan struct{})}
	l.list[key] = next
	if old != nil {
		old.replaced = true
		old.end()
	}
	l.running.Go(func() {
		if old != nil {
			<-old.ended
		}
		l.listen(ctx, next)
		close(next.ended)
		l.forget(key, next)
	})
}

// listen runs a service from its start until ctx ends.
func (l *Listeners) listen(ctx context.Context, n *listener) {
	env := l.env
	env.Log = env.Log.Named(n.kind.Type).With("function", n.bound.Function)
	s := l.start(ctx, env, n)
	if s == nil {
		return
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(l.drain, stopTime)
	defer cancel()
	if err := s.Stop(stop); err != nil {
		env.Log.Warn("the trigger has not stopped in good order", "error", err)
	}
}

// start tries until the service runs; nil when ctx has ended first.
func (l *Listeners) start(ctx context.Context, env Env, n *listener) Service {
	for pause := retryFirst; ctx.Err() == nil; pause = min(2*pause, retryMost) {
		s, err := n.kind.Listen(env, n.bound)
		if err == nil {
			err = s.Start(ctx)
		}
		l.note(n, err)
		switch {
		case err == nil:
			env.Log.Debug("the trigger listens")
			return s
		case ctx.Err() != nil:
			return nil
		}
		env.Log.Warn("the trigger does not listen; it is tried again", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

func (l *Listeners) note(n *listener, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.err = err
}

// forget takes n out, unless it has a successor.
func (l *Listeners) forget(key string, n *listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list[key] == n {
		delete(l.list, key)
	}
}

// Problems says which functions cannot be started by their trigger at present, and why,
// in the order of their names.
func (l *Listeners) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, n := range l.list {
		if n.err != nil && !n.replaced {
			list = append(list, fmt.Sprintf("function %q: its %s does not listen: %v", n.bound.Function, n.kind.Type, n.err))
		}
	}
	slices.Sort(list)
	return list
}

// Stop ends all listeners and returns when they have ended. It may be called twice.
func (l *Listeners) Stop(ctx context.Context) error {
	l.mu.Lock()
	l.end() // no Set begins anything from here on
	l.mu.Unlock()
	defer context.AfterFunc(ctx, l.abandon)()
	l.running.Wait()
	return nil
}
