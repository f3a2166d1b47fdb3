package taskhub

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// How much of results that nobody has taken is kept, and for how long; and how many
// tokens are remembered of items that are over.
const (
	maxKept  = 64 << 20
	keptFor  = 10 * time.Minute
	maxOvers = 1 << 12
)

// runner runs work items of other hosts' partitions on this host's executor, and looks
// after the activities that a partition left here when it moved on. A finished result is
// kept until the owner, whoever that is by then, has committed it.
type runner struct {
	h    *Hub
	from func([]*work.Result) // answered; made once

	mu      sync.Mutex
	items   map[work.Token]*guest // by the owner's token
	running map[work.Token]*guest // by the executor's token
	byTask  map[work.Task]*guest  // those whose result counts, but for what is replayed
	kept    []*guest              // finished, in that order; forgotten ones are skipped
	bytes   int                   // of kept
	epochs  map[int]uint64        // of each partition the highest that was heard of
	over    map[work.Token]bool   // forgotten lately: what repeats them is not begun again
	overs   []work.Token          // the same, oldest first
}

// guest is a work item of a partition that is not served here, or was not when it came.
type guest struct {
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

func (g *guest) finished() bool { return g.result != nil }

func newRunner(h *Hub) *runner {
	r := &runner{
		h: h, items: map[work.Token]*guest{}, running: map[work.Token]*guest{}, byTask: map[work.Task]*guest{},
		epochs: map[int]uint64{}, over: map[work.Token]bool{},
	}
	r.from = r.answered
	return r
}

// work takes items of another host. What is known already is not begun again; an
// activity that runs, or has run, under an older token goes on under the new one.
func (r *runner) work(w *transport.Work) {
	var b work.Batch
	var again []*guest
	var refused []*transport.Token
	accepts := r.accepts()
	r.mu.Lock()
	r.trim()
	for _, x := range w.Items {
		t, it := fromToken(x.GetToken()), fromItem(x)
		if r.fenced(t.Partition, t.Epoch) {
			continue
		}
		switch g := r.known(t, it, w.Owner); {
		case g != nil:
			again = append(again, g)
		case r.over[t]:
		case it == nil || !accepts(it.Function()):
			refused = append(refused, x.Token)
		default:
			r.begin(&guest{token: t, exec: t, kind: it.Kind, task: it.Task, owner: w.Owner})
			b.Items = append(b.Items, it)
		}
	}
	for _, t := range w.Cancels {
		b.Cancels = r.cancel(b.Cancels, fromToken(t))
	}
	b.Evict = w.Evict
	out := r.answers(again)
	r.mu.Unlock()
	if len(refused) > 0 {
		out = append(out, answering{w.Owner, &transport.Done{Refused: refused}})
	}
	r.h.sendDone(out)
	if !b.Empty() {
		r.h.opts.Exec.Submit(b, r.from)
	}
}

// accepts says which functions this host runs for others. It takes the hub's lock.
func (r *runner) accepts() func(work.Function) bool {
	leaving := r.h.isLeaving()
	local := r.h.able()
	return func(f work.Function) bool { return !leaving && (local == nil || local.Has(f)) }
}

// known is the guest that an item of another host is already, if it is one.
func (r *runner) known(t work.Token, it *work.Item, owner string) *guest {
	if g := r.items[t]; g != nil || it == nil || it.Kind.Replayed() {
		return g
	}
	return r.adopt(it, owner)
}

// fenced says whether work comes from an owner that does not know yet that it is none any
// more: what it asks for again may run for the new owner by now.
func (r *runner) fenced(partition int, epoch uint64) bool {
	r.epochs[partition] = max(r.epochs[partition], epoch)
	return epoch < r.epochs[partition]
}

func (r *runner) add(g *guest) {
	r.items[g.token] = g
	if !g.kind.Replayed() {
		r.byTask[g.task] = g
	}
}

func (r *runner) begin(g *guest) {
	r.add(g)
	r.running[g.exec] = g
}

// adopt finds the guest that is the same call under an older token and gives it to the
// owner of the new one.
func (r *runner) adopt(it *work.Item, owner string) *guest {
	g := r.byTask[it.Task]
	if g == nil || !it.Token.Newer(g.token) {
		return nil
	}
	delete(r.items, g.token)
	g.token, g.owner, g.orphan = it.Token, owner, false
	r.items[g.token] = g
	return g
}

// cancel adds to list how the executor knows an activity that is not wanted any more.
func (r *runner) cancel(list []work.Token, t work.Token) []work.Token {
	g := r.items[t]
	switch {
	case g == nil:
		return list
	case g.finished():
		r.drop(g)
		return list
	}
	g.unwanted = true
	return append(list, g.exec)
}

// leave takes over an item that this host runs for a partition that it no longer serves.
func (r *runner) leave(it *work.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(&guest{token: it.Token, exec: it.Token, kind: it.Kind, task: it.Task, orphan: true})
}

// keep keeps a result that may come too late for a partition that is being moved.
func (r *runner) keep(task work.Task, result *work.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := &guest{token: result.Token, exec: result.Token, kind: result.Kind, task: task, orphan: true}
	r.add(g)
	r.finish(g, result.Clone()) // the partition changes its own
}

// finish puts a guest among the finished ones, which are kept.
func (r *runner) finish(g *guest, result *work.Result) {
	g.result, g.bytes = result, result.Size()
	g.at = r.h.opts.Sched.Mono()
	r.kept = append(r.kept, g)
	r.bytes += g.bytes
	r.trim()
}

// trim drops results that nobody has taken in time, and the oldest when they are too many.
func (r *runner) trim() {
	now := r.h.opts.Sched.Mono()
	n := 0
	for ; n < len(r.kept); n++ {
		g := r.kept[n]
		if !g.gone && r.bytes <= maxKept && now-g.at < keptFor {
			break
		}
		r.drop(g)
		r.kept[n] = nil
	}
	r.kept = r.kept[n:]
}

// drop removes a guest.
func (r *runner) drop(g *guest) {
	if g.gone {
		return
	}
	g.gone = true
	r.bytes -= g.bytes
	g.result = nil
	delete(r.items, g.token)
	if r.byTask[g.task] == g {
		delete(r.byTask, g.task)
	}
}

// forget drops items whose answers have been taken.
func (r *runner) forget(tokens []work.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tokens {
		if g := r.items[t]; g != nil && g.finished() {
			r.drop(g)
		}
		r.remember(t)
	}
}

// remember notes that an item is over, so that a message that repeats it does nothing.
func (r *runner) remember(t work.Token) {
	if r.over[t] {
		return
	}
	r.over[t] = true
	if r.overs = append(r.overs, t); len(r.overs) > maxOvers {
		delete(r.over, r.overs[0])
		r.overs = r.overs[1:]
	}
}

// answered takes the executor's answers.
func (r *runner) answered(results []*work.Result) {
	var finished []*guest
	late := 0
	r.mu.Lock()
	for _, x := range results {
		g := r.ended(x)
		if g == nil {
			late++
			continue
		}
		abandoned := x.Outcome != work.Completed
		if g.unwanted || g.orphan && abandoned {
			r.drop(g)
			continue
		}
		if abandoned && r.byTask[g.task] == g { // a new attempt is another one
			delete(r.byTask, g.task)
		}
		r.finish(g, x)
		finished = append(finished, g)
	}
	out := r.answers(finished)
	r.mu.Unlock()
	r.h.late.Add(uint64(late))
	r.h.sendDone(out)
}

// ended finds the guest that the executor has answered.
func (r *runner) ended(x *work.Result) *guest {
	g := r.running[x.Token]
	if g == nil || g.kind != x.Kind {
		return nil
	}
	delete(r.running, x.Token)
	return g
}

// answering is what is said to one owner.
type answering struct {
	address string
	done    *transport.Done
}

// answers makes the messages to the owners of those guests that are finished and have one.
func (r *runner) answers(list []*guest) (out []answering) {
	for _, g := range list {
		if g.orphan || g.gone || !g.finished() {
			continue
		}
		n := slices.IndexFunc(out, func(a answering) bool { return a.address == g.owner })
		if n < 0 {
			n = len(out)
			out = append(out, answering{g.owner, &transport.Done{}})
		}
		d := out[n].done
		d.Results = append(d.Results, toResult(g.token, g.result))
	}
	return out
}

// check answers an owner that asks for items: which of them are not known here. What is
// finished is answered again.
func (r *runner) check(c *transport.Check) *transport.Response {
	answer := &transport.Response{}
	var again []*guest
	r.mu.Lock()
	r.trim()
	for _, w := range c.Tokens {
		t := fromToken(w)
		if g := r.items[t]; g != nil {
			again = append(again, g)
			continue
		}
		delete(r.over, t) // the owner does not think so
		answer.Unknown = append(answer.Unknown, w)
	}
	out := r.answers(again)
	r.mu.Unlock()
	r.h.sendDone(out)
	return answer
}

// tasks lists the calls of partition n that former owners of it have left here: that
// run or whose results wait. A host that is leaving tells only the latter.
func (r *runner) tasks(n int, epoch uint64) []work.Task {
	leaving := r.h.isLeaving()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim()
	r.fenced(n, epoch) // from now on the former owner is
	var list []work.Task
	for task, g := range r.byTask {
		if g.token.Partition == n && g.token.Epoch < epoch && !g.unwanted && (!leaving || g.finished()) {
			list = append(list, task)
		}
	}
	slices.SortFunc(list, func(a, b work.Task) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), strings.Compare(a.Execution, b.Execution), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// abandon tells the owners of everything that still runs that this host will not finish
// it.
func (r *runner) abandon() {
	r.mu.Lock()
	var list []*guest
	for _, g := range r.running {
		if !g.orphan && !g.unwanted {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b *guest) int { return compareTokens(a.token, b.token) })
	for _, g := range list {
		delete(r.running, g.exec)
		g.result = &work.Result{Kind: g.kind, Token: g.exec, Outcome: work.Abandoned}
	}
	out := r.answers(list)
	r.mu.Unlock()
	r.h.sendDone(out)
}

func compareTokens(a, b work.Token) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Serial, b.Serial))
}
