package protocol

import (
	"iter"
	"strconv"
)

// Kind is a kind of work that flows on a Work stream. A further one needs its messages in
// the frames, a case in each function of this file, and a codec where it comes from.
type Kind int

// The kinds, in the order of a frame.
const (
	Orchestrator Kind = iota
	Activity
	Triggered // by something outside the engine
	Kinds     // how many there are
)

// String is the kind's word in messages.
func (k Kind) String() string {
	switch k {
	case Orchestrator:
		return "orchestrator"
	case Activity:
		return "activity"
	case Triggered:
		return "triggered function"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Cancellable reports whether an app can be asked to end an item of the kind early.
func (k Kind) Cancellable() bool { return k != Orchestrator }

// Work is a work item on its way to an app: an *OrchestratorWork, an *ActivityWork or an
// *Invocation.
type Work interface {
	// GetWork is its number on the stream, from 1; the Result repeats it.
	GetWork() uint64
	Kind() Kind
	// PayloadBytes is how much it carries, which is nearly all of its size.
	PayloadBytes() int
}

// Result answers a Work of the same kind: an *OrchestratorResult, an *ActivityResult or an
// *InvocationResult.
type Result interface {
	GetWork() uint64
	Kind() Kind
	SizeVT() int
}

// Kind implements Work.
func (*OrchestratorWork) Kind() Kind { return Orchestrator }

// Kind implements Work.
func (*ActivityWork) Kind() Kind { return Activity }

// Kind implements Work.
func (*Invocation) Kind() Kind { return Triggered }

// Kind implements Result.
func (*OrchestratorResult) Kind() Kind { return Orchestrator }

// Kind implements Result.
func (*ActivityResult) Kind() Kind { return Activity }

// Kind implements Result.
func (*InvocationResult) Kind() Kind { return Triggered }

// PayloadBytes implements Work.
func (w *OrchestratorWork) PayloadBytes() int { return len(w.GetPastEvents()) + len(w.GetNewEvents()) }

// PayloadBytes implements Work.
func (w *ActivityWork) PayloadBytes() int { return len(w.GetInput().GetValue()) }

// PayloadBytes implements Work.
func (w *Invocation) PayloadBytes() int { return len(w.GetPayload()) }

// Len is how many work items the frame holds.
func (f *HostFrame) Len() int { return len(f.Orchestrators) + len(f.Activities) + len(f.Invocations) }

// Add appends a work item.
func (f *HostFrame) Add(w Work) {
	switch w := w.(type) {
	case *OrchestratorWork:
		f.Orchestrators = append(f.Orchestrators, w)
	case *ActivityWork:
		f.Activities = append(f.Activities, w)
	case *Invocation:
		f.Invocations = append(f.Invocations, w)
	}
}

// Items yields the work items, kind by kind.
func (f *HostFrame) Items() iter.Seq[Work] {
	return func(yield func(Work) bool) {
		_ = eachItem(f.Orchestrators, yield) && eachItem(f.Activities, yield) && eachItem(f.Invocations, yield)
	}
}

// Clear removes the work items and keeps the memory for others.
func (f *HostFrame) Clear() {
	f.Orchestrators, f.Activities, f.Invocations = cleared(f.Orchestrators), cleared(f.Activities), cleared(f.Invocations)
}

// Len is how many results the frame holds.
func (f *AppFrame) Len() int { return len(f.Orchestrators) + len(f.Activities) + len(f.Invocations) }

// Add appends a result.
func (f *AppFrame) Add(r Result) {
	switch r := r.(type) {
	case *OrchestratorResult:
		f.Orchestrators = append(f.Orchestrators, r)
	case *ActivityResult:
		f.Activities = append(f.Activities, r)
	case *InvocationResult:
		f.Invocations = append(f.Invocations, r)
	}
}

// Results yields the results, kind by kind.
func (f *AppFrame) Results() iter.Seq[Result] {
	return func(yield func(Result) bool) {
		_ = eachResult(f.Orchestrators, yield) && eachResult(f.Activities, yield) && eachResult(f.Invocations, yield)
	}
}

// Keep removes the results for which wanted does not say so.
func (f *AppFrame) Keep(wanted func(Result) bool) {
	f.Orchestrators, f.Activities, f.Invocations = kept(f.Orchestrators, wanted), kept(f.Activities, wanted), kept(f.Invocations, wanted)
}

// Clear removes the results and keeps the memory for others.
func (f *AppFrame) Clear() {
	f.Orchestrators, f.Activities, f.Invocations = cleared(f.Orchestrators), cleared(f.Activities), cleared(f.Invocations)
}

// Credit is how many further items of a kind the frame grants.
func (f *AppFrame) Credit(k Kind) uint32 {
	if c := f.credit(k); c != nil {
		return *c
	}
	return 0
}

// Grant makes the frame grant n further items of a kind.
func (f *AppFrame) Grant(k Kind, n uint32) {
	if c := f.credit(k); c != nil {
		*c = n
	}
}

func (f *AppFrame) credit(k Kind) *uint32 {
	switch k {
	case Orchestrator:
		return &f.OrchestratorCredit
	case Activity:
		return &f.ActivityCredit
	case Triggered:
		return &f.InvocationCredit
	}
	return nil
}

func eachItem[T Work](list []T, yield func(Work) bool) bool {
	for _, w := range list {
		if !yield(w) {
			return false
		}
	}
	return true
}

func eachResult[T Result](list []T, yield func(Result) bool) bool {
	for _, r := range list {
		if !yield(r) {
			return false
		}
	}
	return true
}

func kept[T Result](list []T, wanted func(Result) bool) []T {
	left := list[:0]
	for _, r := range list {
		if wanted(r) {
			left = append(left, r)
		}
	}
	return left
}

func cleared[T any](list []T) []T {
	clear(list)
	return list[:0]
}
