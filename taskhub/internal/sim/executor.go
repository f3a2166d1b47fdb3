package sim

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Mischief is how function apps behave: the rates of what goes wrong.
type Mischief struct {
	Abandon, Forget, Twice, Stray, Slow float64
	// Hang: no answer for minutes, until the app is restarted. Misfit: an orchestrator's
	// code does not fit its history for now; the right one is put back again and again.
	Hang, Misfit float64
}

// neverEpoch takes an epoch to where no partition ever gets.
const neverEpoch = 1 << 40

// executor runs work items on one host, and checks what it is handed.
type executor struct {
	h        *Host
	ref      *Reference
	plan     *Plan
	mischief *Mischief
	skills   map[work.Function]bool // nil: it has every function
	calls    *calls
	parked   map[string]*replay // by execution
	running  [work.Kinds]int
	queue    []*item // in the order of their arrival; also those that wait for their function
	stopping bool    // its process is being stopped
}

var _ work.Local = (*executor)(nil)

// item is a work item that the executor has not answered.
type item struct {
	f    work.Function
	run  func()
	back func() // answers that it is abandoned
}

func newExecutor(h *Host, c *Cluster, skills map[work.Function]bool) *executor {
	return &executor{
		h: h, ref: c.ref, plan: c.plan, mischief: &c.plan.Mischief, skills: skills, calls: &c.calls, parked: map[string]*replay{},
	}
}

// Has implements work.Local.
func (x *executor) Has(f work.Function) bool { return x.skills == nil || x.skills[f] }

// Free implements work.Local.
func (x *executor) Free(k work.Kind) int {
	if x.plan.Slots == 0 {
		return 1000
	}
	free := x.plan.Slots - x.running[k]
	for _, it := range x.queue {
		if it.f.Kind == k && x.Has(it.f) {
			free--
		}
	}
	return max(0, free)
}

// Offers implements work.Local.
func (x *executor) Offers() (list []work.Function) {
	for _, f := range functions {
		if x.Has(f) {
			list = append(list, f)
		}
	}
	return list
}

// Yield implements work.Local.
func (x *executor) Yield(elsewhere func(work.Function) bool) {
	var given []*item
	x.queue = slices.DeleteFunc(x.queue, func(it *item) bool {
		if x.Has(it.f) || !elsewhere(it.f) {
			return false
		}
		given = append(given, it)
		return true
	})
	for _, it := range given {
		it.back()
	}
}

// Submit implements work.Executor.
func (x *executor) Submit(b work.Batch, results func(work.Results)) {
	for _, execution := range b.Evict {
		delete(x.parked, execution)
	}
	for _, e := range b.Episodes {
		x.checkHistory(e)
		x.queue = append(x.queue, &item{
			f:   work.Function{Kind: work.Orchestrator, Name: e.Name},
			run: func() { x.runEpisode(e, results) },
			back: func() {
				results(work.Results{Episodes: []*work.EpisodeResult{{Token: e.Token, Abandoned: true}}})
			},
		})
	}
	for _, a := range b.Activities {
		x.checkCommitted(a)
		x.queue = append(x.queue, &item{
			f:   work.Function{Kind: work.ActivityFunction, Name: a.Name},
			run: func() { x.runActivity(a, results) },
			back: func() {
				results(work.Results{Activities: []*work.ActivityResult{{Token: a.Token, Abandoned: true}}})
			},
		})
	}
	x.next()
}

// next begins what can begin.
func (x *executor) next() {
	var left []*item
	for _, it := range x.queue {
		if !x.Has(it.f) || x.plan.Slots > 0 && x.running[it.f.Kind] == x.plan.Slots {
			left = append(left, it)
			continue
		}
		x.running[it.f.Kind]++
		x.h.Go(func() {
			it.run()
			x.running[it.f.Kind]--
			x.next()
		})
	}
	x.queue = left
}

// pause is how long an item takes.
func (x *executor) pause(typical time.Duration) {
	w := x.h.w
	d := w.upTo(typical)
	if w.chance(x.mischief.Slow) {
		d = w.upTo(time.Minute)
	}
	_ = x.h.Sleep(context.Background(), d) // a crash unwinds it
}

// hang is as long as it takes until somebody notices and restarts the app.
func (x *executor) hang() {
	_ = x.h.Sleep(context.Background(), time.Minute+x.h.w.upTo(4*time.Minute)) // a crash unwinds it
}

func (x *executor) runEpisode(e *work.Episode, results func(work.Results)) {
	w := x.h.w
	x.pause(2 * time.Millisecond)
	send := func(r *work.EpisodeResult) { results(work.Results{Episodes: []*work.EpisodeResult{r}}) }
	if w.chance(x.mischief.Stray) {
		stray := e.Token
		stray.Epoch += neverEpoch
		send(&work.EpisodeResult{Token: stray, Failed: &history.TaskFailureDetails{ErrorType: "Stray", ErrorMessage: "must be dropped"}})
		stray = e.Token
		stray.Serial += 1 << 40
		send(&work.EpisodeResult{Token: stray, Failed: &history.TaskFailureDetails{ErrorType: "Stray", ErrorMessage: "must be dropped"}})
	}
	if w.chance(x.mischief.Hang) {
		x.hang()
		delete(x.parked, e.Execution)
		send(&work.EpisodeResult{Token: e.Token, Abandoned: true})
		return
	}
	if e.Name != "Hold" && w.chance(x.mischief.Misfit) { // that nobody but clients suspends
		delete(x.parked, e.Execution)
		send(&work.EpisodeResult{Token: e.Token, NonDeterminism: &history.TaskFailureDetails{ErrorType: "Misfit", ErrorMessage: "the code does not fit"}})
		return
	}
	if w.chance(x.mischief.Abandon) {
		delete(x.parked, e.Execution)
		send(&work.EpisodeResult{Token: e.Token, Abandoned: true, Died: w.chance(0.3)})
		x.pause(50 * time.Millisecond)
		// The app was alive after all; nobody wants its answer any more.
		send(&work.EpisodeResult{Token: e.Token, Failed: &history.TaskFailureDetails{ErrorType: "Late", ErrorMessage: "must be dropped"}})
		return
	}
	r := x.episode(e)
	send(r)
	if w.chance(x.mischief.Twice) {
		x.pause(5 * time.Millisecond)
		send(&work.EpisodeResult{Token: e.Token, Failed: &history.TaskFailureDetails{ErrorType: "Twice", ErrorMessage: "must be dropped"}})
	}
}

// episode runs a program over an episode.
func (x *executor) episode(e *work.Episode) *work.EpisodeResult {
	w := x.h.w
	r := x.parked[e.Execution]
	delete(x.parked, e.Execution)
	if e.HasHistory {
		r = newReplay(e.Instance)
		for _, chunk := range e.Past {
			x.feed(r, e, chunk)
		}
		if r.position != e.Position {
			w.fail("%s: episode at position %d comes with %d events of history", e.Instance, e.Position, r.position)
		}
	}
	if r == nil || r.position != e.Position || !e.HasHistory && (r.after != e.After || w.chance(x.mischief.Forget)) {
		return &work.EpisodeResult{Token: e.Token, HistoryNeeded: true}
	}
	x.feed(r, e, e.New)
	program := programs[e.Name]
	if program == nil {
		w.fail("%s: there is no orchestrator %q", e.Instance, e.Name)
		return &work.EpisodeResult{Token: e.Token, Abandoned: true}
	}
	r.begin()
	program(r)
	result := &work.EpisodeResult{Token: e.Token, Actions: r.actions}
	r.settle()
	r.after = e.Token
	if !r.ended {
		x.parked[e.Execution] = r
	}
	return result
}

func (x *executor) feed(r *replay, e *work.Episode, encoded []byte) {
	var h history.History
	if err := h.UnmarshalVT(encoded); err != nil {
		x.h.w.fail("%s: history cannot be read: %v", e.Instance, err)
		return
	}
	for _, ev := range h.Events {
		if err := r.add(ev); err != nil {
			x.h.w.fail("%s execution %s: %v", e.Instance, e.Execution, err)
		}
	}
}

// checkHistory: what the present owner hands out begins with what is committed.
func (x *executor) checkHistory(e *work.Episode) {
	if !e.HasHistory {
		return
	}
	v, p := x.ref.lookup(e.Instance)
	if v == nil || v.Row.Execution != e.Execution || p.n != e.Token.Partition || p.db.Position().Epoch != e.Token.Epoch {
		return
	}
	committed, err := p.history(v)
	if err != nil {
		x.h.w.fail("%s: %v", e.Instance, err)
	}
	// One that came late, over the network, may be of another time.
	if past := bytes.Join(e.Past, nil); !bytes.HasPrefix(past, committed) && !bytes.HasPrefix(committed, past) {
		x.h.w.fail("%s execution %s: episode %+v at position %d contradicts the committed history", e.Instance, e.Execution, e.Token, e.Position)
	}
}

// checkCommitted: no activity starts for a step that is not committed.
func (x *executor) checkCommitted(a *work.Activity) {
	v, p := x.ref.lookup(a.Instance)
	if v == nil {
		if !x.ref.gone[a.Instance] {
			x.h.w.fail("%s: activity %d is handed out for an instance that is not committed", a.Instance, a.TaskID)
		}
		return
	}
	if v.Row.Execution != a.Execution {
		return
	}
	events, err := v.History(p.db)
	if err != nil {
		x.h.w.fail("%s: %v", a.Instance, err)
	}
	for _, e := range events {
		if e.GetTaskScheduled() != nil && e.EventId == a.TaskID {
			return
		}
	}
	x.h.w.fail("%s execution %s: activity %d is handed out before it is committed", a.Instance, a.Execution, a.TaskID)
}

func (x *executor) runActivity(a *work.Activity, results func(work.Results)) {
	w := x.h.w
	call := x.calls.begin(x, a)
	x.pause(5*time.Millisecond + x.plan.Linger)
	send := func(r *work.ActivityResult) { results(work.Results{Activities: []*work.ActivityResult{r}}) }
	poison := "-1000000"
	if w.chance(x.mischief.Stray) {
		stray := a.Token
		stray.Epoch += neverEpoch
		send(&work.ActivityResult{Token: stray, Result: &poison})
		stray = a.Token
		stray.Serial += 1 << 40
		send(&work.ActivityResult{Token: stray, Result: &poison})
	}
	if w.chance(x.mischief.Hang) {
		x.hang()
		call.over = true
		send(&work.ActivityResult{Token: a.Token, Abandoned: true})
		x.pause(20 * time.Millisecond)
		send(&work.ActivityResult{Token: a.Token, Result: &poison})
		return
	}
	if w.chance(x.mischief.Abandon) {
		call.over = true
		send(&work.ActivityResult{Token: a.Token, Abandoned: true, Died: w.chance(0.3)})
		x.pause(20 * time.Millisecond)
		send(&work.ActivityResult{Token: a.Token, Result: &poison})
		return
	}
	text, failure := activityResult(a)
	r := &work.ActivityResult{Token: a.Token, Failure: failure}
	if failure == nil {
		r.Result = &text
	}
	send(r)
	if w.chance(x.mischief.Twice) {
		x.pause(5 * time.Millisecond)
		send(&work.ActivityResult{Token: a.Token, Result: &poison})
	}
}
