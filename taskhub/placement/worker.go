package placement

import (
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// How much of results that nobody has taken is kept, and for how long; and how many
// tokens are remembered of items that are finished.
const (
	maxKept     = 64 << 20
	keptFor     = 10 * time.Minute
	maxFinished = 1 << 12
)

// worker runs work items of other hosts' partitions on this host's executor, and looks
// after the activities that a partition left on this host when it moved on. A finished
// result is kept until the owner, whoever that is by then, has committed it.
type worker struct {
	p        *Placement
	fromExec func([]*work.Result) // take, made once

	mu            sync.Mutex
	items         map[work.Token]*foreign // by the owner's token
	running       map[work.Token]*foreign // by the executor's token
	byTask        map[work.Task]*foreign  // those whose result counts, but for what is replayed
	results       []*foreign              // finished, in that order; forgotten ones are skipped
	bytes         int                     // of results
	epochs        map[int]uint64          // of each partition the highest that was heard of
	finished      map[work.Token]bool     // forgotten lately: what repeats them is not begun again
	finishedOrder []work.Token            // the same, oldest first
}

// foreign is a work item of a partition that this host does not serve, or did not when it came.
type foreign struct {
	token work.Token // as its owner knows it
	exec  work.Token // as the executor knows it
	kind  work.Kind
	task  work.Task
	owner string // address; meaningless while orphan
	// orphan: the partition has moved, and its new owner has not asked for the item.
	orphan   bool
	unwanted bool // cancelled
	gone     bool // forgotten

	result *work.Result  // once it is finished
	at     time.Duration // Mono
	bytes  int
}

func (f *foreign) finished() bool { return f.result != nil }

func newWorker(p *Placement) *worker {
	w := &worker{
		p: p, items: map[work.Token]*foreign{}, running: map[work.Token]*foreign{}, byTask: map[work.Task]*foreign{},
		epochs: map[int]uint64{}, finished: map[work.Token]bool{},
	}
	w.fromExec = w.take
	return w
}

// work takes items of another host. What is known already is not begun again; an
// activity that runs, or has run, under an older token goes on under the new one.
func (w *worker) work(m *transport.Work) {
	var b work.Batch
	var again []*foreign
	var refused []*transport.Token
	accepts := w.accepts()
	w.mu.Lock()
	w.trim()
	for _, x := range m.Items {
		t, it := fromToken(x.GetToken()), fromItem(x)
		if w.fenced(t.Partition, t.Epoch) {
			continue
		}
		switch f := w.known(t, it, m.Owner); {
		case f != nil:
			again = append(again, f)
		case w.finished[t]:
		case it == nil || !accepts(it.Function()):
			refused = append(refused, x.Token)
		default:
			w.begin(&foreign{token: t, exec: t, kind: it.Kind, task: it.Task, owner: m.Owner})
			b.Items = append(b.Items, it)
		}
	}
	for _, t := range m.Cancels {
		b.Cancels = w.cancel(b.Cancels, fromToken(t))
	}
	b.Evict = m.Evict
	out := w.replies(again)
	w.mu.Unlock()
	if len(refused) > 0 {
		out = append(out, reply{m.Owner, &transport.Results{Refused: refused}})
	}
	w.p.sendResults(out)
	if !b.Empty() {
		w.p.cfg.Exec.Submit(b, w.fromExec)
	}
}

// accepts reports which functions this host runs for others.
func (w *worker) accepts() func(work.Function) bool {
	leaving := w.p.cfg.Hosts.Leaving()
	local := w.p.local
	return func(f work.Function) bool { return !leaving && (local == nil || local.Has(f)) }
}

// known is the item that an item of another host is already, if it is one.
func (w *worker) known(t work.Token, it *work.Item, owner string) *foreign {
	if f := w.items[t]; f != nil || it == nil || it.Kind.Replayed() {
		return f
	}
	return w.adopt(it, owner)
}

// fenced reports whether work comes from an owner that does not know yet that it is none any
// more: what it asks for again may run for the new owner by now.
func (w *worker) fenced(partition int, epoch uint64) bool {
	w.epochs[partition] = max(w.epochs[partition], epoch)
	return epoch < w.epochs[partition]
}

func (w *worker) add(f *foreign) {
	w.items[f.token] = f
	if !f.kind.Replayed() {
		w.byTask[f.task] = f
	}
}

func (w *worker) begin(f *foreign) {
	w.add(f)
	w.running[f.exec] = f
}

// adopt finds the item that is the same call under an older token and gives it to the
// owner of the new one.
func (w *worker) adopt(it *work.Item, owner string) *foreign {
	f := w.byTask[it.Task]
	if f == nil || !it.Token.Newer(f.token) {
		return nil
	}
	delete(w.items, f.token)
	f.token, f.owner, f.orphan = it.Token, owner, false
	w.items[f.token] = f
	return f
}

// cancel adds to list how the executor knows an activity that is not wanted any more.
func (w *worker) cancel(list []work.Token, t work.Token) []work.Token {
	f := w.items[t]
	switch {
	case f == nil:
		return list
	case f.finished():
		w.drop(f)
		return list
	}
	f.unwanted = true
	return append(list, f.exec)
}

// take takes the executor's answers.
func (w *worker) take(results []*work.Result) {
	var finished []*foreign
	late := 0
	w.mu.Lock()
	for _, x := range results {
		f := w.ended(x)
		if f == nil {
			late++
			continue
		}
		abandoned := x.Outcome != work.Completed
		if f.unwanted || f.orphan && abandoned {
			w.drop(f)
			continue
		}
		if abandoned && w.byTask[f.task] == f { // a new attempt is another one
			delete(w.byTask, f.task)
		}
		w.finish(f, x)
		finished = append(finished, f)
	}
	out := w.replies(finished)
	w.mu.Unlock()
	w.p.late.Add(uint64(late))
	w.p.sendResults(out)
}

// ended finds the item that the executor has answered.
func (w *worker) ended(x *work.Result) *foreign {
	f := w.running[x.Token]
	if f == nil || f.kind != x.Kind {
		return nil
	}
	delete(w.running, x.Token)
	return f
}
