package durable

import (
	"errors"
)

// WhenAll waits for all tasks, also when some fail. Its result holds theirs in
// the order of the arguments, with zero values for failed ones; its error is nil,
// the error of the one that failed, or errors.Join of all that failed. Of no tasks
// it is finished at once.
func WhenAll[T any](ctx *OrchestrationContext, tasks ...Task[T]) Task[[]T] {
	f := combine(ctx, kindAll, len(tasks), func(i int) *future { return tasks[i].f })
	return Task[[]T]{f: f, get: func() ([]T, error) {
		out := make([]T, len(tasks))
		var failed []error
		for i, t := range tasks {
			v, err := t.Await()
			if err != nil {
				failed = append(failed, err)
				continue
			}
			out[i] = v
		}
		switch len(failed) {
		case 0:
			return out, nil
		case 1:
			return out, failed[0]
		}
		return out, errors.Join(failed...)
	}}
}

// WhenAny waits for the first task to finish and returns its index. A failed task
// counts as finished; its error shows when it is awaited. Of several that finished,
// the earliest in history wins, then the first argument. The others go on, but a
// wait for an external event that lost takes no event until it is awaited again.
// WhenAny of no tasks is ErrInvalidArgument.
func WhenAny(ctx *OrchestrationContext, tasks ...Awaitable) Task[int] {
	if len(tasks) == 0 {
		return Task[int]{f: failedFuture(ctx.x, kindAny, "", invalid("WhenAny of no tasks never ends"))}
	}
	f := combine(ctx, kindAny, len(tasks), func(i int) *future { return tasks[i].future() })
	return Task[int]{f: f, get: func() (int, error) { return f.winner, nil }}
}

// combine makes the future of a WhenAll or WhenAny.
func combine(ctx *OrchestrationContext, k kind, n int, member func(int) *future) *future {
	x := ctx.x
	if err := x.enter(); err != nil {
		return failedFuture(x, k, "", err)
	}
	f := &future{x: x, kind: k, id: -1, live: true, members: make([]*future, n), winner: -1}
	for i := range n {
		m := member(i)
		if m == nil || m.x != x {
			return failedFuture(x, k, "", invalid("%s: task %d belongs to no call of this orchestration", k, i))
		}
		f.members[i] = m
	}
	for i, m := range f.members {
		m.acquire() // may finish an event wait with a buffered event
		if m.done {
			if f.winner < 0 || m.finished < f.members[f.winner].finished {
				f.winner = i
			}
			continue
		}
		f.open++
		m.parents = append(m.parents, parent{f, i})
	}
	if k == kindAny && f.winner >= 0 || k == kindAll && f.open == 0 {
		f.end()
	}
	return f
}

// memberDone hears that member i of the combination f has finished.
func (f *future) memberDone(i int) {
	if f.done {
		return
	}
	f.open--
	if f.kind == kindAny {
		f.winner = i
		f.end()
	} else if f.open == 0 {
		f.end()
	}
}

// end finishes a combination and lets go of the members that are still open.
func (f *future) end() {
	members := f.members
	f.members = nil
	for _, m := range members {
		if !m.done {
			m.dropParent(f)
			m.release()
		}
	}
	f.finish(nil, nil)
}
