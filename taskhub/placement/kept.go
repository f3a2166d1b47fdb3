package placement

import (
	"github.com/durafunc/durafunc/taskhub/work"
)

// leave takes over an item that this host runs for a partition that it no longer serves.
func (w *worker) leave(it *work.Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(&foreign{token: it.Token, exec: it.Token, kind: it.Kind, task: it.Task, orphan: true})
}

// keep keeps a result that may come too late for a partition that is being moved.
func (w *worker) keep(task work.Task, result *work.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &foreign{token: result.Token, exec: result.Token, kind: result.Kind, task: task, orphan: true}
	w.add(f)
	w.finish(f, result.Clone()) // the partition changes its own
}

// finish puts an item among the finished ones, which are kept.
func (w *worker) finish(f *foreign, result *work.Result) {
	f.result, f.bytes = result, result.Size()
	f.at = w.p.cfg.Sched.Mono()
	w.results = append(w.results, f)
	w.bytes += f.bytes
	w.trim()
}

// trim drops results that nobody has taken in time, and the oldest when they are too many.
func (w *worker) trim() {
	now := w.p.cfg.Sched.Mono()
	n := 0
	for ; n < len(w.results); n++ {
		f := w.results[n]
		if !f.gone && w.bytes <= maxKept && now-f.at < keptFor {
			break
		}
		w.drop(f)
		w.results[n] = nil
	}
	w.results = w.results[n:]
}

// drop removes an item.
func (w *worker) drop(f *foreign) {
	if f.gone {
		return
	}
	f.gone = true
	w.bytes -= f.bytes
	f.result = nil
	delete(w.items, f.token)
	if w.byTask[f.task] == f {
		delete(w.byTask, f.task)
	}
}

// forget drops items whose results have been taken.
func (w *worker) forget(tokens []work.Token) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range tokens {
		if f := w.items[t]; f != nil && f.finished() {
			w.drop(f)
		}
		w.remember(t)
	}
}

// remember notes that an item is finished, so that a message that repeats it does nothing.
func (w *worker) remember(t work.Token) {
	if w.finished[t] {
		return
	}
	w.finished[t] = true
	if w.finishedOrder = append(w.finishedOrder, t); len(w.finishedOrder) > maxFinished {
		delete(w.finished, w.finishedOrder[0])
		w.finishedOrder = w.finishedOrder[1:]
	}
}
