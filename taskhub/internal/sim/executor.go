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
func (x *executor) Submit(b work.Batch, results func([]*work.Result)) {
	for _, execution := range b.Evict {
		delete(x.parked, execution)
	}
	for _, it := range b.Items {
		x.checkItem(it)
		send := func(r *work.Result) { results([]*work.Result{r}) }
		x.queue = append(x.queue, &item{
			f:    it.Function(),
			run:  func() { x.run(it, send) },
			back: func() { send(it.Ended(work.Abandoned)) },
		})
	}
	x.next()
}

func (x *executor) checkItem(it *work.Item) {
	if it.Kind == work.Orchestrator {
		x.checkHistory(it)
	} else {
		x.checkCommitted(it)
	}
}

func (x *executor) run(it *work.Item, send func(*work.Result)) {
	if it.Kind == work.Orchestrator {
		x.runEpisode(it, send)
	} else {
		x.runActivity(it, send)
	}
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

// stray answers what is not out, under the tokens of another epoch and of another item.
func (x *executor) stray(it *work.Item, answer func(work.Token) *work.Result, send func(*work.Result)) {
	if !x.h.w.chance(x.mischief.Stray) {
		return
	}
	t := it.Token
	t.Epoch += neverEpoch
	send(answer(t))
	t = it.Token
	t.Serial += 1 << 40
	send(answer(t))
}

// died is how an item ends whose app goes away.
func (x *executor) died() work.Outcome {
	if x.h.w.chance(0.3) {
		return work.Died
	}
	return work.Abandoned
}

func wrongEnd(what string) func(work.Token) *work.Result {
	return func(t work.Token) *work.Result {
		return work.EpisodeDone(t, work.EpisodeResult{Failed: &history.TaskFailureDetails{ErrorType: what, ErrorMessage: "must be dropped"}})
	}
}

func (x *executor) runEpisode(it *work.Item, send func(*work.Result)) {
	w := x.h.w
	x.pause(2 * time.Millisecond)
	x.stray(it, wrongEnd("Stray"), send)
	if w.chance(x.mischief.Hang) {
		x.hang()
		delete(x.parked, it.Execution)
		send(it.Ended(work.Abandoned))
		return
	}
	if it.Name != "Hold" && w.chance(x.mischief.Misfit) { // that nobody but clients suspends
		delete(x.parked, it.Execution)
		send(work.EpisodeDone(it.Token, work.EpisodeResult{
			NonDeterminism: &history.TaskFailureDetails{ErrorType: "Misfit", ErrorMessage: "the code does not fit"},
		}))
		return
	}
	if w.chance(x.mischief.Abandon) {
		delete(x.parked, it.Execution)
		send(it.Ended(x.died()))
		x.pause(50 * time.Millisecond)
		// The app was alive after all; nobody wants its answer any more.
		send(wrongEnd("Late")(it.Token))
		return
	}
	send(x.episode(it))
	if w.chance(x.mischief.Twice) {
		x.pause(5 * time.Millisecond)
		send(wrongEnd("Twice")(it.Token))
	}
}

// episode runs a program over an episode.
func (x *executor) episode(it *work.Item) *work.Result {
	w, e := x.h.w, it.Episode
	r := x.parked[it.Execution]
	delete(x.parked, it.Execution)
	if e.HasHistory {
		r = newReplay(it.Instance)
		for _, chunk := range e.Past {
			x.feed(r, it, chunk)
		}
		if r.position != e.Position {
			w.fail("%s: episode at position %d comes with %d events of history", it.Instance, e.Position, r.position)
		}
	}
	if r == nil || r.position != e.Position || !e.HasHistory && (r.after != e.After || w.chance(x.mischief.Forget)) {
		return work.EpisodeDone(it.Token, work.EpisodeResult{HistoryNeeded: true})
	}
	x.feed(r, it, e.New)
	program := programs[it.Name]
	if program == nil {
		w.fail("%s: there is no orchestrator %q", it.Instance, it.Name)
		return it.Ended(work.Abandoned)
	}
	r.begin()
	program(r)
	result := work.EpisodeDone(it.Token, work.EpisodeResult{Actions: r.actions})
	r.settle()
	r.after = it.Token
	if !r.ended {
		x.parked[it.Execution] = r
	}
	return result
}

func (x *executor) feed(r *replay, it *work.Item, encoded []byte) {
	var h history.History
	if err := h.UnmarshalVT(encoded); err != nil {
		x.h.w.fail("%s: history cannot be read: %v", it.Instance, err)
		return
	}
	for _, ev := range h.Events {
		if err := r.add(ev); err != nil {
			x.h.w.fail("%s execution %s: %v", it.Instance, it.Execution, err)
		}
	}
}

// checkHistory: what the present owner hands out begins with what is committed.
func (x *executor) checkHistory(it *work.Item) {
	e := it.Episode
	if !e.HasHistory {
		return
	}
	v, p := x.ref.lookup(it.Instance)
	if v == nil || v.Row.Execution != it.Execution || p.n != it.Token.Partition || p.db.Position().Epoch != it.Token.Epoch {
		return
	}
	committed, err := p.history(v)
	if err != nil {
		x.h.w.fail("%s: %v", it.Instance, err)
	}
	// One that came late, over the network, may be of another time.
	if past := bytes.Join(e.Past, nil); !bytes.HasPrefix(past, committed) && !bytes.HasPrefix(committed, past) {
		x.h.w.fail("%s execution %s: episode %+v at position %d contradicts the committed history", it.Instance, it.Execution, it.Token, e.Position)
	}
}

// checkCommitted: no activity starts for a step that is not committed.
func (x *executor) checkCommitted(a *work.Item) {
	v, p := x.ref.lookup(a.Instance)
	if v == nil {
		if !x.ref.gone[a.Instance] {
			x.h.w.fail("%s: activity %d is handed out for an instance that is not committed", a.Instance, a.ID)
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
		if e.GetTaskScheduled() != nil && e.EventId == a.ID {
			return
		}
	}
	x.h.w.fail("%s execution %s: activity %d is handed out before it is committed", a.Instance, a.Execution, a.ID)
}

func (x *executor) runActivity(it *work.Item, send func(*work.Result)) {
	w := x.h.w
	call := x.calls.begin(x, it)
	x.pause(5*time.Millisecond + x.plan.Linger)
	poison := "-1000000"
	wrong := func(t work.Token) *work.Result {
		return work.ActivityDone(t, work.ActivityResult{Result: &poison})
	}
	x.stray(it, wrong, send)
	if w.chance(x.mischief.Hang) {
		x.hang()
		call.over = true
		send(it.Ended(work.Abandoned))
		x.pause(20 * time.Millisecond)
		send(wrong(it.Token))
		return
	}
	if w.chance(x.mischief.Abandon) {
		call.over = true
		send(it.Ended(x.died()))
		x.pause(20 * time.Millisecond)
		send(wrong(it.Token))
		return
	}
	text, failure := activityResult(it)
	r := work.ActivityResult{Failure: failure}
	if failure == nil {
		r.Result = &text
	}
	send(work.ActivityDone(it.Token, r))
	if w.chance(x.mischief.Twice) {
		x.pause(5 * time.Millisecond)
		send(wrong(it.Token))
	}
}
