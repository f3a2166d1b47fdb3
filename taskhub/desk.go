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
	fromHere func(work.Results)

	mu      sync.Mutex
	epoch   uint64               // 0 until the first work item
	results func(work.Results)   // of the partition
	part    *partition.Partition // nil until it is open
	closed  bool
	moving  bool                      // the partition is about to be another host's
	here    map[uint64]*work.Activity // with this host's executor, by serial
	away    map[uint64]*away          // with other hosts, by serial
	homes   map[string]string         // address of the host that parks an execution, if it is another

	rolled  bool             // it is known who runs what of the former owner
	waiting []*work.Activity // until it is
	looking bool             // after what is away
	running []sched.Signal   // fire when what runs beside the desk has ended
}

// away is a work item that another host has.
type away struct {
	address  string
	episode  *work.Episode
	activity *work.Activity
	sent     time.Duration // Mono
	check    time.Duration // Mono of when to ask for it
	every    time.Duration
	answered bool // and not committed
}

// maxHomes bounds the memory of who parks what: forgetting costs a replay.
const maxHomes = 1 << 16

func (h *Hub) newDesk(n int) *desk {
	d := &desk{h: h, n: n, here: map[uint64]*work.Activity{}, away: map[uint64]*away{}, homes: map[string]string{}}
	d.ctx, d.cancel = h.opts.Sched.WithCancel(h.ctx)
	d.fromHere = d.answeredHere
	return d
}

var _ work.Executor = (*desk)(nil)

// Submit implements work.Executor.
func (d *desk) Submit(b work.Batch, results func(work.Results)) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return // the partition is another owner's, and does not know it yet
	}
	d.results = results
	d.begin(&b)
	if len(b.Activities) > 0 && !d.rolled {
		b.Activities = d.holdBack(b.Activities)
	}
	var out outgoing
	d.place(&b, &out)
	d.recall(&b, &out)
	d.mu.Unlock()
	d.hand(b, out)
}

// begin learns the epoch from the first work item.
func (d *desk) begin(b *work.Batch) {
	if d.epoch != 0 {
		return
	}
	if len(b.Episodes) > 0 {
		d.epoch = b.Episodes[0].Token.Epoch
	} else if len(b.Activities) > 0 {
		d.epoch = b.Activities[0].Token.Epoch
	}
	if d.epoch != 0 {
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
	if len(b.Episodes)+len(b.Activities)+len(b.Cancels)+len(b.Evict) > 0 {
		d.h.opts.Exec.Submit(b, d.fromHere)
	}
	d.h.sendWork(out)
}

// place leaves in b what this host's executor gets and puts the rest into out.
func (d *desk) place(b *work.Batch, out *outgoing) {
	if len(b.Episodes)+len(b.Activities) == 0 {
		return
	}
	p := d.h.choose()
	if p.alone() {
		if len(d.homes) > 0 {
			for _, e := range b.Episodes {
				delete(d.homes, e.Execution)
			}
		}
	} else {
		episodes, activities := b.Episodes, b.Activities
		b.Episodes, b.Activities = nil, nil
		for _, e := range episodes {
			address, other := p.pick(work.Function{Kind: work.Orchestrator, Name: e.Name}, d.homes[e.Execution])
			if !other || episodeSize(e) > maxAway {
				delete(d.homes, e.Execution)
				b.Episodes = append(b.Episodes, e)
				continue
			}
			if len(d.homes) >= maxHomes {
				clear(d.homes)
			}
			d.homes[e.Execution] = address
			d.sendAway(out, &away{address: address, episode: e})
		}
		for _, a := range activities {
			address, other := p.pick(work.Function{Kind: work.ActivityFunction, Name: a.Name}, "")
			if !other || activitySize(a) > maxAway {
				b.Activities = append(b.Activities, a)
				continue
			}
			d.sendAway(out, &away{address: address, activity: a})
		}
	}
	for _, a := range b.Activities {
		d.here[a.Token.Serial] = a
	}
}

// token is which attempt it is.
func (a *away) token() work.Token {
	if a.episode != nil {
		return a.episode.Token
	}
	return a.activity.Token
}

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
			d.waiting = slices.DeleteFunc(d.waiting, func(a *work.Activity) bool { return a.Token == t })
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
func (d *desk) answeredHere(r work.Results) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.h.runner.answered(r)
		return
	}
	var kept []work.Token
	for _, a := range r.Activities {
		x := d.here[a.Token.Serial]
		if x == nil || x.Token != a.Token {
			continue // late: the core drops it
		}
		delete(d.here, a.Token.Serial)
		if d.moving && !a.Abandoned {
			// The partition may not take it any more.
			d.h.runner.keep(x, a)
			kept = append(kept, a.Token)
		}
	}
	results, part := d.results, d.part
	d.mu.Unlock()
	if len(kept) == 0 || part == nil {
		results(r)
		return
	}
	part.Take(r, func() { d.h.runner.forget(kept) })
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
	w, size := o.to(a.address), 0
	if a.episode != nil {
		size = episodeSize(a.episode)
		w.Episodes = append(w.Episodes, toEpisode(a.episode))
	} else {
		size = activitySize(a.activity)
		w.Activities = append(w.Activities, toActivity(a.activity))
	}
	for n := range *o {
		if (*o)[n].work == w {
			(*o)[n].bytes += size
		}
	}
}
