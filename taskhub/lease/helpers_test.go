package lease_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

const (
	leaseTime = 15 * time.Second
	prefix    = "session/"
)

// virtual is a host inside a synctest bubble: its sleeps take no time, its boot clock is
// the bubble's, and its wall clock can be set.
type virtual struct {
	sched.Scheduler
	mu   sync.Mutex
	wall time.Duration // what the wall clock is ahead by
}

func newVirtual() *virtual { return &virtual{Scheduler: sched.Real()} }

var booted = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func (v *virtual) Mono() time.Duration { return time.Since(booted) }

func (v *virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Now().Add(v.wall)
}

func (v *virtual) setWall(ahead time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wall = ahead
}

// register is a store whose requests a test can look into, slow down and cut off.
type register struct {
	lease.Register
	mu     sync.Mutex
	down   bool
	before func(verb string)
	after  func(verb string)
}

func newRegister(s storage.Store) *register { return &register{Register: s} }

func (r *register) cut(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *register) around(verb string, do func() error) error {
	r.mu.Lock()
	down, before, after := r.down, r.before, r.after
	r.mu.Unlock()
	if down {
		return context.DeadlineExceeded
	}
	if before != nil {
		before(verb)
	}
	err := do()
	if after != nil {
		after(verb)
	}
	return err
}

func (r *register) Get(ctx context.Context, key string) (b []byte, tag storage.Tag, err error) {
	err = r.around("get", func() error { b, tag, err = r.Register.Get(ctx, key); return err })
	return b, tag, err
}

func (r *register) Create(ctx context.Context, key string, body []byte) (tag storage.Tag, err error) {
	err = r.around("create", func() error { tag, err = r.Register.Create(ctx, key, body); return err })
	return tag, err
}

func (r *register) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (tag storage.Tag, err error) {
	err = r.around("replace", func() error { tag, err = r.Register.Replace(ctx, key, old, body); return err })
	return tag, err
}

// bubble runs a test in virtual time with a fresh store.
func bubble(t *testing.T, f func(t *testing.T, s storage.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewWithClock(time.Now)) })
}

func config(s *virtual, r lease.Register) lease.Config {
	return lease.Config{Register: r, Sched: s, Prefix: prefix, Lease: leaseTime}
}

func openSession(t *testing.T, s *virtual, r lease.Register) *lease.Session {
	t.Helper()
	session, err := lease.Open(t.Context(), config(s, r), lease.Record{Host: "a", PID: 7, Started: s.Now()})
	if err != nil {
		t.Fatal(err)
	}
	// The renewals must end before the bubble does.
	t.Cleanup(func() {
		if r, ok := r.(*register); ok {
			r.cut(false)
		}
		_ = session.Close(context.Background())
		synctest.Wait()
	})
	return session
}

// sealed is a JSON object with its checksum.
func sealed(body string) []byte { return checked.Marshal(json.RawMessage(body)) }

func read(t *testing.T, r lease.Register, id string) lease.Record {
	t.Helper()
	b, _, err := r.Get(t.Context(), prefix+id)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := lease.Decode(prefix+id, b)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// gone observes a session in the background and says when it was found gone.
type gone struct {
	done chan struct{}
	rec  lease.Record
	err  error
	took time.Duration
}

func observe(ctx context.Context, s *virtual, r lease.Register, id string, dead func(lease.Record) bool) *gone {
	g := &gone{done: make(chan struct{})}
	started := s.Mono()
	o := lease.Observer{Config: config(s, r), Dead: dead}
	go func() {
		defer close(g.done)
		g.rec, g.err = o.Gone(ctx, id)
		g.took = s.Mono() - started
	}()
	return g
}

func (g *gone) pending() bool {
	synctest.Wait()
	select {
	case <-g.done:
		return false
	default:
		return true
	}
}
