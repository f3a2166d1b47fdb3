package placement

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Assigner is the executor of one opening of a partition: it hands work items to this
// host's executor or to other hosts, and knows which item is where (docs/decisions/0015).
type Assigner struct {
	p      *Placement
	n      int // partition
	ctx    context.Context
	cancel context.CancelCauseFunc
	// fromLocal is localResults, made once, since every Submit passes it on.
	fromLocal func([]*work.Result)

	mu      sync.Mutex
	epoch   uint64               // 0 until the first work item
	results func([]*work.Result) // of the partition
	part    *partition.Partition // nil until it is open
	closed  bool
	moving  bool                  // the partition is about to be another host's
	local   map[uint64]*work.Item // with this host's executor, by serial; not those that are replayed
	remote  map[uint64]*remote    // with other hosts, by serial
	sticky  map[string]string     // address of the host that parks an execution, if it is not this one

	reclaimed bool         // it is known who runs what of the former owner
	held      []*work.Item // until it is
	polling   bool         // for what is with other hosts
	beside    *sched.Group
}

// remote is a work item that another host has.
type remote struct {
	address  string
	item     *work.Item
	sent     time.Duration // Mono
	nextPoll time.Duration // Mono of when to ask for it
	every    time.Duration
	answered bool // and not committed
}

// maxSticky bounds the memory of who parks what: forgetting costs a replay.
const maxSticky = 1 << 16

// Open makes the executor of an opening of partition n. It must be closed.
func (p *Placement) Open(n int) *Assigner {
	as := &Assigner{
		p: p, n: n, local: map[uint64]*work.Item{}, remote: map[uint64]*remote{}, sticky: map[string]string{},
		beside: sched.NewGroup(p.cfg.Sched),
	}
	as.ctx, as.cancel = p.cfg.Sched.WithCancel(context.Background())
	as.fromLocal = as.localResults
	return as
}

var _ work.Executor = (*Assigner)(nil)

// Submit implements work.Executor.
func (as *Assigner) Submit(b work.Batch, results func([]*work.Result)) {
	as.mu.Lock()
	if as.closed {
		as.mu.Unlock()
		return // the partition is another owner's, and does not know it yet
	}
	as.results = results
	as.learnEpoch(&b)
	b.Items = as.holdRetries(b.Items)
	var out sendBatch
	as.place(&b, &out)
	as.recall(&b, &out)
	as.mu.Unlock()
	as.hand(b, out)
}

// learnEpoch learns the epoch from the first work item.
func (as *Assigner) learnEpoch(b *work.Batch) {
	if as.epoch == 0 && len(b.Items) > 0 {
		as.epoch = b.Items[0].Token.Epoch
		as.p.register(as)
	}
}

// Serving notes that the partition serves.
func (as *Assigner) Serving(part *partition.Partition) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.part = part
	if as.epoch == 0 {
		as.epoch = part.Epoch()
		as.p.register(as)
	}
}

// hand gives out what was placed. The lock must not be held: executors may answer from
// inside.
func (as *Assigner) hand(b work.Batch, out sendBatch) {
	if !b.Empty() {
		as.p.cfg.Exec.Submit(b, as.fromLocal)
	}
	as.p.sendWork(out)
}

// recall passes on what b wants ended to those who have it.
func (as *Assigner) recall(b *work.Batch, out *sendBatch) {
	if len(b.Cancels) > 0 && len(as.remote)+len(as.held) > 0 {
		cancels := b.Cancels
		b.Cancels = nil
		for _, t := range cancels {
			as.held = slices.DeleteFunc(as.held, func(it *work.Item) bool { return it.Token == t })
			if a := as.remote[t.Serial]; a != nil && a.token() == t {
				delete(as.remote, t.Serial)
				w := out.to(a.address)
				w.Cancels = append(w.Cancels, toToken(t))
				continue
			}
			b.Cancels = append(b.Cancels, t)
		}
	}
	if len(b.Evict) > 0 && len(as.sticky) > 0 {
		for _, execution := range b.Evict {
			if address, ok := as.sticky[execution]; ok {
				delete(as.sticky, execution)
				w := out.to(address)
				w.Evict = append(w.Evict, execution)
			}
		}
	}
}

// localResults takes the results of this host's executor.
func (as *Assigner) localResults(list []*work.Result) {
	as.mu.Lock()
	if as.closed {
		as.mu.Unlock()
		as.p.worker.take(list)
		return
	}
	leaving := as.moving || as.p.cfg.Hosts.Leaving()
	var kept []work.Token
	for _, r := range list {
		it := as.local[r.Token.Serial]
		if it == nil || it.Token != r.Token {
			continue // replayed, or late: the core drops it
		}
		delete(as.local, r.Token.Serial)
		if leaving && r.Outcome == work.Completed {
			// The partition may not take it any more.
			as.p.worker.keep(it.Task, r)
			kept = append(kept, r.Token)
		}
	}
	results, part := as.results, as.part
	as.mu.Unlock()
	if len(kept) == 0 || part == nil {
		results(list)
		return
	}
	part.Take(list, func() { as.p.worker.forget(kept) })
}

// Moving tells the Assigner that the partition is about to be stopped: from now on the results
// of this host's activities are kept until they are committed, by this owner or the next.
func (as *Assigner) Moving() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.moving = true
}

// Close ends the Assigner and returns when nothing of it runs any more. What other hosts
// run is the next owner's, and what this host runs goes on: the next owner asks for it.
func (as *Assigner) Close() {
	as.mu.Lock()
	if as.closed {
		as.mu.Unlock()
		return
	}
	as.closed = true
	serials := make([]uint64, 0, len(as.local))
	for s := range as.local {
		serials = append(serials, s)
	}
	slices.Sort(serials)
	for _, s := range serials {
		as.p.worker.leave(as.local[s])
	}
	as.local, as.remote, as.sticky, as.held = nil, nil, nil, nil
	as.mu.Unlock()
	as.p.unregister(as)
	as.cancel(errClosed)
	_ = as.beside.Wait(context.Background()) // ends with the context
}
