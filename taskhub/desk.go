package taskhub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// desk is the executor of one opening of a partition: it hands work items to this host's
// executor or to other hosts, and knows which item is where (docs/decisions/0015).
type desk struct {
	h      *Hub
	n      int // partition
	ctx    context.Context
	cancel context.CancelCauseFunc
	// fromHere is answeredHere; made once, since every Submit passes it on.
	fromHere func([]*work.Result)

	mu      sync.Mutex
	epoch   uint64               // 0 until the first work item
	results func([]*work.Result) // of the partition
	part    *partition.Partition // nil until it is open
	closed  bool
	moving  bool                  // the partition is about to be another host's
	here    map[uint64]*work.Item // with this host's executor, by serial; not those that are replayed
	away    map[uint64]*away      // with other hosts, by serial
	homes   map[string]string     // address of the host that parks an execution, if it is another

	rolled  bool           // it is known who runs what of the former owner
	waiting []*work.Item   // until it is
	looking bool           // after what is away
	running []sched.Signal // fire when what runs beside the desk has ended
}

// away is a work item that another host has.
type away struct {
	address  string
	item     *work.Item
	sent     time.Duration // Mono
	check    time.Duration // Mono of when to ask for it
	every    time.Duration
	answered bool // and not committed
}

// maxHomes bounds the memory of who parks what: forgetting costs a replay.
const maxHomes = 1 << 16

func (h *Hub) newDesk(n int) *desk {
	d := &desk{h: h, n: n, here: map[uint64]*work.Item{}, away: map[uint64]*away{}, homes: map[string]string{}}
	d.ctx, d.cancel = h.opts.Sched.WithCancel(h.ctx)
	d.fromHere = d.answeredHere
	return d
}

var _ work.Executor = (*desk)(nil)

// Submit implements work.Executor.
func (d *desk) Submit(b work.Batch, results func([]*work.Result)) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return // the partition is another owner's, and does not know it yet
	}
	d.results = results
	d.begin(&b)
	b.Items = d.holdBack(b.Items)
	var out outgoing
	d.place(&b, &out)
	d.recall(&b, &out)
	d.mu.Unlock()
	d.hand(b, out)
}

// begin learns the epoch from the first work item.
func (d *desk) begin(b *work.Batch) {
	if d.epoch == 0 && len(b.Items) > 0 {
		d.epoch = b.Items[0].Token.Epoch
		d.h.seat(d)
	}
}

// open notes that the partition serves.
func (d *desk) open(part *partition.Partition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.part = part
	if d.epoch == 0 {
		d.epoch = part.Epoch()
		d.h.seat(d)
	}
}

// hand gives out what was placed. The lock must not be held: executors may answer from
// inside.
func (d *desk) hand(b work.Batch, out outgoing) {
	if !b.Empty() {
		d.h.opts.Exec.Submit(b, d.fromHere)
	}
	d.h.sendWork(out)
}

// place leaves in b what this host's executor gets and puts the rest into out.
func (d *desk) place(b *work.Batch, out *outgoing) {
	if len(b.Items) == 0 {
		return
	}
	p := d.h.choose()
	if !p.alone() {
		b.Items = d.spread(&p, b.Items, out)
	} else if len(d.homes) > 0 {
		for _, it := range b.Items {
			if it.Kind.Parked() {
				delete(d.homes, it.Execution)
			}
		}
	}
	for _, it := range b.Items {
		if !it.Kind.Replayed() {
			d.here[it.Token.Serial] = it
		}
	}
}

// spread puts into out what other hosts get, and answers what stays here.
func (d *desk) spread(p *placing, items []*work.Item, out *outgoing) (here []*work.Item) {
	for _, it := range items {
		home := ""
		if it.Kind.Parked() {
			home = d.homes[it.Execution]
		}
		address, other := p.pick(it.Function(), home)
		other = other && it.Size() <= maxAway
		if it.Kind.Parked() {
			d.settle(it.Execution, address, other)
		}
		if other {
			d.sendAway(out, &away{address: address, item: it})
		} else {
			here = append(here, it)
		}
	}
	return here
}

// settle notes which host parks an execution from now on.
func (d *desk) settle(execution, address string, other bool) {
	if !other {
		delete(d.homes, execution)
		return
	}
	if len(d.homes) >= maxHomes {
		clear(d.homes)
	}
	d.homes[execution] = address
}

// token is which attempt it is.
func (a *away) token() work.Token { return a.item.Token }

// sendAway notes an item for another host.
func (d *desk) sendAway(out *outgoing, a *away) {
	a.sent = d.h.opts.Sched.Mono()
	a.every = checkFirst
	a.check = a.sent + a.every
	d.away[a.token().Serial] = a
	out.add(a)
	if !d.looking {
		d.looking = true
		d.do(d.lookAfter)
	}
}

// do runs f beside the desk, which waits for its end when it is closed. Called with the
// lock held.
func (d *desk) do(f func()) {
	d.running = slices.DeleteFunc(d.running, sched.Signal.Fired)
	ended := d.h.opts.Sched.NewSignal()
	d.running = append(d.running, ended)
	d.h.opts.Sched.Go(func() {
		defer ended.Fire()
		f()
	})
}

// recall passes on what b wants ended to those who have it.
func (d *desk) recall(b *work.Batch, out *outgoing) {
	if len(b.Cancels) > 0 && len(d.away)+len(d.waiting) > 0 {
		cancels := b.Cancels
		b.Cancels = nil
		for _, t := range cancels {
			d.waiting = slices.DeleteFunc(d.waiting, func(it *work.Item) bool { return it.Token == t })
			if a := d.away[t.Serial]; a != nil && a.token() == t {
				delete(d.away, t.Serial)
				w := out.to(a.address)
				w.Cancels = append(w.Cancels, toToken(t))
				continue
			}
			b.Cancels = append(b.Cancels, t)
		}
	}
	if len(b.Evict) > 0 && len(d.homes) > 0 {
		for _, execution := range b.Evict {
			if address, ok := d.homes[execution]; ok {
				delete(d.homes, execution)
				w := out.to(address)
				w.Evict = append(w.Evict, execution)
			}
		}
	}
}

// answeredHere takes the answers of this host's executor.
func (d *desk) answeredHere(list []*work.Result) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.h.runner.answered(list)
		return
	}
	var kept []work.Token
	for _, r := range list {
		it := d.here[r.Token.Serial]
		if it == nil || it.Token != r.Token {
			continue // replayed, or late: the core drops it
		}
		delete(d.here, r.Token.Serial)
		if d.moving && r.Outcome == work.Completed {
			// The partition may not take it any more.
			d.h.runner.keep(it.Task, r)
			kept = append(kept, r.Token)
		}
	}
	results, part := d.results, d.part
	d.mu.Unlock()
	if len(kept) == 0 || part == nil {
		results(list)
		return
	}
	part.Take(list, func() { d.h.runner.forget(kept) })
}

// move says that the partition is about to be stopped: from now on the results of this
// host's activities are kept until they are committed, here or by the next owner.
func (d *desk) move() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moving = true
}

// close ends the desk. What other hosts run is no longer its business, and what this host
// runs goes on: the next owner asks for it.
func (d *desk) close() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.closed = true
	serials := make([]uint64, 0, len(d.here))
	for s := range d.here {
		serials = append(serials, s)
	}
	slices.Sort(serials)
	for _, s := range serials {
		d.h.runner.leave(d.here[s])
	}
	d.here, d.away, d.homes, d.waiting = nil, nil, nil, nil
	running := d.running
	d.mu.Unlock()
	d.h.unseat(d)
	d.cancel(ErrStopped)
	for _, ended := range running {
		_ = ended.Wait(context.Background()) // each ends with the desk's context
	}
}

// seat puts d among the open desks.
func (h *Hub) seat(d *desk) {
	h.mu.Lock()
	h.desks = append(h.desks, d)
	h.mu.Unlock()
}

// unseat removes d from them.
func (h *Hub) unseat(d *desk) {
	h.mu.Lock()
	h.desks = slices.DeleteFunc(h.desks, func(x *desk) bool { return x == d })
	h.mu.Unlock()
}

// desksOf lists the open desks of partition n, the newest last. There may be two for a
// moment: one of them is fenced and does not know it yet.
func (h *Hub) desksOf(n int) (list []*desk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.desks {
		if d.n == n {
			list = append(list, d)
		}
	}
	return list
}

// desk is the newest desk of partition n; nil if it is not open here.
func (h *Hub) desk(n int) *desk {
	if list := h.desksOf(n); len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// outgoing is what is to be sent to other hosts, in the order in which they were chosen.
type outgoing []parcel

type parcel struct {
	address string
	work    *transport.Work
	bytes   int
}

// maxParcel is after how many bytes of work another message is begun, and maxAway the
// largest item that is sent at all.
const (
	maxParcel = 1 << 20
	maxAway   = transport.MaxMessage - 1<<20
)

// to is the message for a host to which more can be added.
func (o *outgoing) to(address string) *transport.Work {
	for n := len(*o) - 1; n >= 0; n-- {
		if p := &(*o)[n]; p.address == address {
			if p.bytes < maxParcel {
				return p.work
			}
			break
		}
	}
	*o = append(*o, parcel{address: address, work: &transport.Work{}})
	return (*o)[len(*o)-1].work
}

func (o *outgoing) add(a *away) {
	w := o.to(a.address)
	w.Items = append(w.Items, toItem(a.item))
	for n := range *o {
		if (*o)[n].work == w {
			(*o)[n].bytes += a.item.Size()
		}
	}
}
