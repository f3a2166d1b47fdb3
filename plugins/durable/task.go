package durable

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// Task is the outcome, to come, of a durable call with a result of type T. It may
// be awaited any number of times, and only from its orchestrator's goroutine.
type Task[T any] struct {
	f *future
	// get computes the result of a finished combined task; nil: decode f's payload.
	get func() (T, error)
}

// Awaitable is any Task, as WhenAny takes them.
type Awaitable interface{ future() *future }

func (t Task[T]) future() *future { return t.f }

// Await parks the orchestrator until the task is finished and returns its result
// or its error: a *TaskFailedError for a failed activity or sub-orchestration,
// ErrTimeout, ErrCanceled, ErrInvalidArgument or ErrOutsideOrchestrator (wrapped),
// or that the result is no JSON for T.
func (t Task[T]) Await() (T, error) {
	var out T
	if t.f == nil {
		return out, invalid("await of a Task that no durable call returned")
	}
	if err := t.f.wait(); err != nil {
		return out, err
	}
	if t.f.err != nil {
		return out, t.f.err
	}
	if t.get != nil {
		return t.get()
	}
	p, err := t.f.x.resolve(t.f.payload)
	if err == nil {
		err = decode(p, &out)
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", t.f.what(), err)
	}
	return out, nil
}

// Done reports whether the task is finished, so that Await would not park.
func (t Task[T]) Done() bool { return t.f != nil && t.f.done }

// Cancel gives up a timer or a wait for an external event: the task ends with
// ErrCanceled and an event goes to the next waiter. It does nothing, and returns
// false, for a finished task and for other kinds: an activity that was scheduled
// runs to its end.
func (t Task[T]) Cancel() bool {
	f := t.f
	if f == nil || f.done || f.x.enter() != nil {
		return false
	}
	switch f.kind {
	case kindTimer:
		f.x.cancelTimer(f.id)
	case kindEvent:
		f.x.unregister(f)
		f.x.stopTimeout(f)
	default:
		return false
	}
	f.finish(nil, fmt.Errorf("%s: %w", f.what(), ErrCanceled))
	return true
}

// kind is what a task waits for.
type kind uint8

const (
	kindActivity kind = iota
	kindChild
	kindTimer
	kindSend
	kindEvent
	kindAll
	kindAny
)

var kindNames = [...]string{"activity", "sub-orchestration", "timer", "sent event", "event", "WhenAll", "WhenAny"}

func (k kind) String() string { return kindNames[k] }

// outcome is how history says that a task ended.
type outcome struct {
	payload *wrapperspb.StringValue
	failure *history.TaskFailureDetails // not nil: it failed
}

// future is the state behind a Task. The orchestrator's goroutine and the runner
// share it without a lock: only one of them runs at a time.
type future struct {
	x    *execution
	kind kind
	id   int32 // task number; -1 for events and combinations
	done bool
	// live: an event given to it is welcome. See acquire.
	live    bool
	name    string // function or event
	payload *wrapperspb.StringValue
	err     error
	// finished orders tasks by when they finished, from 1.
	finished uint64
	parents  []parent // unfinished combinations that this is a member of

	// interest counts the unfinished combinations and awaits that want it.
	interest int
	ticket   uint64        // of an event wait: its place among the waiters of its name
	timeout  int32         // of an event wait: its timer's task number, or -1
	limit    time.Duration // of an event wait: for the text of its error
	members  []*future     // of a combination
	open     int           // of WhenAll: members not finished
	winner   int           // of WhenAny: index of the first finished member
}

type parent struct {
	f     *future
	index int // among f's members
}

// what names the task in texts.
func (f *future) what() string {
	switch f.kind {
	case kindActivity, kindChild, kindEvent:
		return fmt.Sprintf("%s %q", f.kind, f.name)
	case kindTimer:
		return fmt.Sprintf("timer #%d", f.id)
	default:
		return f.kind.String()
	}
}

// wait parks the orchestrator until f is done.
func (f *future) wait() error {
	if f.done {
		return nil
	}
	if err := f.x.enter(); err != nil {
		return err
	}
	f.acquire()
	for !f.done { // an event wait may be done by acquire
		f.x.park(f)
	}
	return nil
}

// settle ends an activity, child or timer without retry.
func (f *future) settle(x *execution, o outcome) {
	if o.failure != nil {
		f.finish(nil, x.taskFailed(f, o.failure))
		return
	}
	f.finish(o.payload, nil)
}

// finish ends f and tells the combinations that it is part of.
func (f *future) finish(payload *wrapperspb.StringValue, err error) {
	f.done, f.live = true, false
	f.payload, f.err = payload, err
	f.x.finished++
	f.finished = f.x.finished
	parents := f.parents
	f.parents = nil
	for _, p := range parents {
		p.f.memberDone(p.index)
	}
}

// acquire and release count who wants an unfinished task. An event wait takes
// events while it is live: from its creation until a combination that held it
// ended without it, and again from the next await or combination on, at the place
// in the queue that it had. So a loser of WhenAny that is not looked at again
// never swallows an event (F§14 D3).
func (f *future) acquire() {
	if f.done {
		return
	}
	f.interest++
	if f.live {
		return
	}
	f.live = true
	if f.kind == kindEvent {
		f.x.register(f)
		return
	}
	for _, m := range f.members {
		m.acquire()
	}
}

func (f *future) release() {
	if f.done {
		return
	}
	f.interest--
	if f.interest > 0 || !f.live {
		return
	}
	f.live = false
	if f.kind == kindEvent {
		f.x.unregister(f)
		return
	}
	for _, m := range f.members {
		m.release()
	}
}

// dropParent removes f's link to a combination that has ended.
func (f *future) dropParent(p *future) {
	f.parents = slices.DeleteFunc(f.parents, func(q parent) bool { return q.f == p })
}
