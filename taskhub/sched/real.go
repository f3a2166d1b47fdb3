package sched

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"
)

// Real is the scheduler of a real process.
func Real() Scheduler { return realScheduler{} }

type realScheduler struct{}

func (realScheduler) Now() time.Time      { return time.Now() }
func (realScheduler) Mono() time.Duration { return bootTime() }
func (realScheduler) Random(b []byte)     { _, _ = rand.Read(b) } // crypto/rand.Read never fails
func (realScheduler) Go(f func())         { go f() }

func (realScheduler) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (realScheduler) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

func (realScheduler) WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(ctx)
}

func (realScheduler) NewSignal() Signal { return &realSignal{ch: make(chan struct{})} }

type realSignal struct {
	once sync.Once
	ch   chan struct{}
}

func (s *realSignal) Fire() { s.once.Do(func() { close(s.ch) }) }

func (s *realSignal) Fired() bool {
	select {
	case <-s.ch:
		return true
	default:
		return false
	}
}

func (s *realSignal) Wait(ctx context.Context) error {
	select {
	case <-s.ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (realScheduler) NewLoop(idle func()) Loop {
	l := &realLoop{idle: idle, wake: make(chan struct{}, 1)}
	go l.run()
	return l
}

// realLoop is a queue that is swapped whole, so that a burst of posts costs one lock and at
// most one wake-up. Whoever finds it at rest in Run runs a burst itself; the loop's own
// goroutine runs all others. To wake a goroutine costs more than most bursts.
type realLoop struct {
	idle   func()
	wake   chan struct{}
	closed atomic.Bool

	mu      sync.Mutex
	queue   []func()
	spare   []func() // the other array of the queue
	running bool     // somebody runs a burst, and looks at the queue after it
}

func (l *realLoop) Post(f func()) {
	l.mu.Lock()
	first := len(l.queue) == 0 && !l.running
	l.queue = append(l.queue, f)
	l.mu.Unlock()
	if first {
		l.nudge()
	}
}

func (l *realLoop) Run(f func()) {
	l.mu.Lock()
	l.queue = append(l.queue, f)
	l.mu.Unlock()
	if l.burst() {
		l.nudge() // the rest is not this caller's
	}
}

func (l *realLoop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *realLoop) After(d time.Duration, f func()) Timer {
	return realTimer{time.AfterFunc(d, func() { l.Post(f) })}
}

type realTimer struct{ *time.Timer }

func (t realTimer) Stop() { t.Timer.Stop() }

func (l *realLoop) Close() {
	l.closed.Store(true)
	l.nudge()
}

// run is the loop's own goroutine.
func (l *realLoop) run() {
	for range l.wake {
		for l.burst() {
		}
		if l.closed.Load() {
			return
		}
	}
}

// burst runs what is queued, unless somebody else does, and reports whether more has come
// meanwhile.
func (l *realLoop) burst() (more bool) {
	l.mu.Lock()
	if l.running || len(l.queue) == 0 {
		l.mu.Unlock()
		return false
	}
	// The spare array goes with it: the queue must never be the array that is being run.
	burst := l.queue
	l.queue, l.spare = l.spare[:0], nil
	l.running = true
	l.mu.Unlock()
	for i, f := range burst {
		if l.closed.Load() {
			break
		}
		burst[i] = nil
		f()
	}
	if !l.closed.Load() {
		l.idle()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running, l.spare = false, burst
	return len(l.queue) > 0 && !l.closed.Load()
}
