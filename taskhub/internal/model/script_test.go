package model

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// script is a bucket and two owners whose code is real. One thing happens at a time, and
// what happens next is always a choice.
type script struct {
	objects map[string]string
	owners  [2]*owner
	late    []pending // writes that were given up and are still on their way
	faults  int       // answers that may still be lost
	acked   []string
}

// pending is what an owner waits for.
type pending struct {
	what  string // for the trace
	write bool
	apply func() error // the effect, and the store's verdict
}

// owner runs its program as a coroutine, up to its next request.
type owner struct {
	w       *script
	name    string
	alive   bool // its session
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	waits   *pending
	answer  error
	random  uint64
	answers []string // all that it was told so far: its state is a function of them
}

var errStopped = errors.New("the script ends")

// start makes an owner that runs program.
func (w *script) start(n int, program func(o *owner)) {
	o := &owner{w: w, name: string(rune('a' + n)), alive: true, random: uint64(n) << 32}
	w.owners[n] = o
	o.next, o.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if p := recover(); p != nil && p != any(errStopped) {
				panic(p)
			}
		}()
		o.yield = yield
		program(o)
	})
	o.resume()
}

func (o *owner) resume() {
	o.waits = nil
	o.next()
}

// request waits until it is chosen.
func (o *owner) request(p pending) error {
	o.waits = &p
	if !o.yield(struct{}{}) {
		panic(errStopped)
	}
	return o.answer
}

// tell lets the owner go on with an answer.
func (o *owner) tell(err error, seen string) {
	o.answer = err
	o.answers = append(o.answers, seen)
	o.resume()
}

var errLost = errors.New("no answer")

// choice is one thing that can happen.
type choice struct {
	what string
	do   func()
}

// choices are the things that can happen now, always in the same order.
func (w *script) choices() []choice {
	var all []choice
	for _, o := range w.owners {
		if o.waits == nil {
			continue
		}
		p := *o.waits
		is := func(what string, do func()) { all = append(all, choice{o.name + " " + p.what + what, do}) }
		is("", func() { err := p.apply(); o.tell(err, fmt.Sprint(err)) })
		if !p.write || w.faults == 0 {
			continue
		}
		is(", answer lost", func() { w.faults--; _ = p.apply(); o.tell(errLost, "lost") })
		is(", late or never", func() { w.faults--; w.late = append(w.late, p); o.tell(errLost, "lost") })
	}
	for n, p := range w.late {
		all = append(all, choice{"late: " + p.what, func() { w.late = slices.Delete(slices.Clone(w.late), n, n+1); _ = p.apply() }})
	}
	if a := w.owners[0]; a.alive {
		all = append(all, choice{"a is evicted", func() { a.alive = false }})
	}
	return all
}

// state tells states apart: what an owner has in memory is what it was told.
func (w *script) state() uint64 {
	h := fnv.New64a()
	keys := make([]string, 0, len(w.objects))
	for k := range w.objects {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprint(h, k, w.objects[k], "\x00")
	}
	for _, o := range w.owners {
		fmt.Fprint(h, o.alive, o.waits != nil, strings.Join(o.answers, ";"), "\x00")
	}
	for _, p := range w.late {
		fmt.Fprint(h, p.what, "\x00")
	}
	fmt.Fprint(h, w.faults, w.acked)
	return h.Sum64()
}

func (w *script) end() {
	for _, o := range w.owners {
		o.stop()
	}
}

// Get implements storage.Store.
func (o *owner) Get(_ context.Context, key string) (body []byte, tag storage.Tag, err error) {
	err = o.request(pending{what: "get " + key, apply: func() error {
		b, there := o.w.objects[key]
		if !there {
			return storage.ErrNotFound
		}
		body, tag = []byte(b), storage.Tag(b)
		return nil
	}})
	o.note(body)
	return body, tag, err
}

// note adds what was read to what the owner was told.
func (o *owner) note(b []byte) { o.answers = append(o.answers, string(b)) }

// Create implements storage.Store.
func (o *owner) Create(_ context.Context, key string, body []byte) (storage.Tag, error) {
	return o.put("create "+key, key, "", body)
}

// Replace implements storage.Store.
func (o *owner) Replace(_ context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return o.put("replace "+key, key, old, body)
}

func (o *owner) put(what, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	b := string(body)
	return storage.Tag(b), o.request(pending{what: what, write: true, apply: func() error {
		if o.w.objects[key] != string(old) {
			return storage.ErrConflict
		}
		o.w.objects[key] = b
		return nil
	}})
}

// Delete implements storage.Store.
func (o *owner) Delete(context.Context, string) error { return errors.ErrUnsupported }

// List implements storage.Store, in one page.
func (o *owner) List(_ context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		var keys []string
		_ = o.request(pending{what: "list " + prefix, apply: func() error {
			for k := range o.w.objects {
				if strings.HasPrefix(k, prefix) && k > after {
					keys = append(keys, k)
				}
			}
			return nil
		}})
		sort.Strings(keys)
		o.note([]byte(strings.Join(keys, ",")))
		for _, k := range keys {
			if !yield(storage.Entry{Key: k}, nil) {
				return
			}
		}
	}
}

// Await implements verdict.Guard. An eviction may come before each look.
func (o *owner) Await(context.Context) error {
	return o.request(pending{what: "looks at its lease", apply: func() error {
		if !o.alive {
			return errEvicted
		}
		return nil
	}})
}

var errEvicted = errors.New("evicted")

// Sign implements verdict.Guard: this store does not look at signatures.
func (o *owner) Sign(ctx context.Context) context.Context { return ctx }

// Refresh implements verdict.Guard.
func (o *owner) Refresh(ctx context.Context) error { return o.Await(ctx) }

// clock is a sched.Scheduler in which nothing takes time. What would run beside the
// caller runs before it goes on.
type clock struct {
	sched.Scheduler
	o *owner
}

func (clock) Go(f func())                                { f() }
func (clock) Sleep(context.Context, time.Duration) error { return nil }
func (clock) Mono() time.Duration                        { return 0 }
func (clock) NewSignal() sched.Signal                    { return &signal{} }
func (clock) WithTimeout(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

func (c clock) Random(b []byte) {
	c.o.random++
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], c.o.random)
	clear(b)
	copy(b, n[:])
}

// signal is a sched.Signal that has fired before anybody waits.
type signal struct{ fired bool }

func (f *signal) Fire()       { f.fired = true }
func (f *signal) Fired() bool { return f.fired }
func (f *signal) Wait(context.Context) error {
	if !f.fired {
		return errors.New("nobody is left to fire this")
	}
	return nil
}
