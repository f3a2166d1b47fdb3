// Package sched is the only way in which the engine waits, tells the time, starts
// something beside itself or draws a random number. The real scheduler stands on
// goroutines and the system's clocks; the simulator's runs one thing at a time in
// virtual time, so that a seed replays a whole cluster exactly.
//
// It is a leaf: standard library and x/sys only.
package sched

import (
	"context"
	"time"
)

// Scheduler is the world's clock and its concurrency. One belongs to one host.
type Scheduler interface {
	Clock
	Runner
}

// Clock tells the time, lets it pass, and draws random numbers.
type Clock interface {
	// Now is the host's wall clock.
	Now() time.Time
	// Mono is a clock that never jumps and runs on while the machine is suspended;
	// leases are counted on it. Only differences mean something.
	Mono() time.Duration
	// Random fills b with random bytes.
	Random(b []byte)
	// Sleep blocks for d, or less when ctx ends: then it returns ctx's cause.
	Sleep(ctx context.Context, d time.Duration) error
	// WithTimeout is context.WithTimeout in this world's time.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// WithCancel is context.WithCancelCause.
	WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc)
}

// Runner runs functions beside each other.
type Runner interface {
	// Go runs f beside the caller. f may block, but only in Sleep, in a
	// storage.Store and in Wait of a Signal.
	Go(f func())
	// NewLoop starts an event loop: functions posted to it run one at a time, in
	// order. After each burst of them idle runs once, in the loop too.
	NewLoop(idle func()) Loop
	// NewSignal makes a Signal that has not fired.
	NewSignal() Signal
}

// Loop runs functions one at a time. Everything that it runs may touch what the
// loop owns without a lock.
type Loop interface {
	// Post queues f. It never blocks and may be called from anywhere. After Close
	// nothing runs.
	Post(f func())
	// Run is Post for a caller that can spare the time of a burst and holds no lock that
	// anything in the loop may take: if the loop is at rest, f may have run, and what was
	// queued before it, when Run returns.
	Run(f func())
	// After posts f when d has passed.
	After(d time.Duration, f func()) Timer
	// Close stops the loop and does not wait: what is queued is dropped, a function
	// that runs at this moment still ends. A loop that owns something closes itself.
	Close()
}

// Timer is a pending After.
type Timer interface {
	// Stop drops the call if it has not been queued yet.
	Stop()
}

// Signal is a one-time event that several can wait for.
type Signal interface {
	// Fire lets everyone pass, now and later. It may be called more than once.
	Fire()
	// Fired reports whether Fire was called.
	Fired() bool
	// Wait blocks until Fire, or returns ctx's cause.
	Wait(ctx context.Context) error
}
