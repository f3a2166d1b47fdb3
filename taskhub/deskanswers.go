package taskhub

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// How long an item is out before its host is asked for it, at first and at most; how
// often that is looked at; how long the host may take to answer.
const (
	checkFirst   = 2 * time.Second
	checkMost    = 10 * time.Second
	checkEvery   = time.Second
	checkTimeout = 2 * time.Second
)

// done takes the answers that another host, or this one's runner, has for its desks.
func (h *Hub) done(m *transport.Done) {
	h.heardOf(m)
	for _, got := range deliveries(m) {
		if d := h.desk(got.partition); d != nil {
			d.answered(m.Runner, got)
		} else {
			h.late.Add(uint64(len(got.results)))
		}
	}
}

// heardOf notes what answers say of the host that sends them.
func (h *Hub) heardOf(m *transport.Done) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.members {
		if x.address == m.Runner {
			x.spoke = h.opts.Sched.Mono()
			if m.Room != nil {
				x.setRoom(m.Room)
			}
		}
	}
}

// delivery is what a host answers one partition.
type delivery struct {
	partition int
	results   []*work.Result
	refused   []work.Token
}

// deliveries sorts answers by partition, in the order in which those are first named.
func deliveries(m *transport.Done) (list []*delivery) {
	of := func(n int) *delivery {
		if i := slices.IndexFunc(list, func(d *delivery) bool { return d.partition == n }); i >= 0 {
			return list[i]
		}
		list = append(list, &delivery{partition: n})
		return list[len(list)-1]
	}
	for _, w := range m.Results {
		if r := fromResult(w); r != nil {
			to := of(r.Token.Partition)
			to.results = append(to.results, r)
		}
	}
	for _, w := range m.Refused {
		t := fromToken(w)
		to := of(t.Partition)
		to.refused = append(to.refused, t)
	}
	return list
}

// answered takes the answers of another host. They may come twice; the result of what is
// not replayed is acknowledged when it is committed: until then the next owner may want it.
func (d *desk) answered(from string, got *delivery) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.h.late.Add(uint64(len(got.results)))
		return
	}
	var in arrived
	for _, r := range got.results {
		d.arrive(&in, r)
	}
	b, out := d.again(from, got.refused)
	results, part := d.results, d.part
	d.mu.Unlock()
	if ackEarly() {
		d.h.sendTaken(from, in.commit)
	}
	d.h.sendTaken(from, in.forget)
	switch {
	case len(in.wanted) == 0:
	case len(in.commit) == 0:
		results(in.wanted)
	default:
		part.Take(in.wanted, func() { d.committed(from, in.commit) })
	}
	d.hand(b, out)
}

// arrived is what is done with answers: which the partition gets, and which of them their
// host can forget at once, and which when they are committed.
type arrived struct {
	wanted         []*work.Result
	forget, commit []work.Token
}

// arrive takes one answer of another host. Called with the lock held.
func (d *desk) arrive(in *arrived, r *work.Result) {
	t := r.Token
	a := d.away[t.Serial]
	switch {
	case a == nil || a.token() != t || a.item.Kind != r.Kind:
		d.h.late.Add(1)
		if t.Epoch == d.epoch {
			in.forget = append(in.forget, t)
		} // else the new owner's roll call may be about to find it
		return
	case a.answered:
		d.h.late.Add(1)
		return
	case r.Kind.Replayed() || r.Outcome != work.Completed:
		delete(d.away, t.Serial)
		in.forget = append(in.forget, t)
	case d.part == nil:
		delete(d.away, t.Serial)
	default:
		a.answered = true
		in.commit = append(in.commit, t)
	}
	in.wanted = append(in.wanted, r)
}

// committed forgets answers that are durable, and lets their host do so.
func (d *desk) committed(from string, tokens []work.Token) {
	d.mu.Lock()
	for _, t := range tokens {
		delete(d.away, t.Serial)
	}
	d.mu.Unlock()
	d.h.sendTaken(from, tokens)
}

// again places items anew that a host has refused. It is not asked again for such a
// function before it has said what it has.
func (d *desk) again(from string, refused []work.Token) (b work.Batch, out outgoing) {
	if len(refused) == 0 {
		return b, nil
	}
	for _, t := range refused {
		a := d.away[t.Serial]
		if a == nil || a.token() != t || a.answered || a.address != from {
			continue
		}
		delete(d.away, t.Serial)
		d.h.lacks(from, a.item.Function())
		b.Items = append(b.Items, a.item)
	}
	d.place(&b, &out)
	return b, out
}

// lookAfter asks for what is away for long, until nothing is. A message may have been
// lost, or a host have gone.
func (d *desk) lookAfter() {
	for d.h.opts.Sched.Sleep(d.ctx, checkEvery) == nil {
		due, more := d.due()
		if !more {
			return
		}
		var asked []sched.Signal
		for _, q := range due {
			s := d.h.opts.Sched.NewSignal()
			asked = append(asked, s)
			d.h.opts.Sched.Go(func() {
				defer s.Fire()
				d.ask(q.address, q.tokens)
			})
		}
		for _, s := range asked {
			_ = s.Wait(context.Background()) // ends with the desk's context
		}
	}
}

// question is the items of one host for which it is asked.
type question struct {
	address string
	tokens  []work.Token // by serial
}

// due lists what to ask for now; more is false when nothing is away any more, and then
// the look after it ends.
func (d *desk) due() (list []question, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.away) == 0 {
		d.looking = false
		return nil, false
	}
	now := d.h.opts.Sched.Mono()
	var serials []uint64
	for s, a := range d.away {
		if !a.answered && a.check <= now {
			serials = append(serials, s)
		}
	}
	slices.Sort(serials)
	for _, s := range serials {
		a := d.away[s]
		a.every = min(2*a.every, checkMost)
		a.check = now + a.every
		n := slices.IndexFunc(list, func(q question) bool { return q.address == a.address })
		if n < 0 {
			n = len(list)
			list = append(list, question{address: a.address})
		}
		list[n].tokens = append(list[n].tokens, a.token())
	}
	return list, true
}

// ask asks a host for items. What it does not know never arrived there, or it has started
// anew since: it is sent again.
func (d *desk) ask(address string, tokens []work.Token) {
	r := &transport.Request{Hub: d.h.id, Partition: uint32(d.n), Op: &transport.Request_Check{Check: &transport.Check{
		Owner: d.h.opts.About.Address, Tokens: toTokens(tokens),
	}}}
	ctx, cancel := d.h.opts.Sched.WithTimeout(d.ctx, checkTimeout)
	answer, err := d.h.callHost(ctx, address, r)
	cancel()
	if d.ctx.Err() != nil {
		return
	}
	if err != nil || answer.Code != transport.Code_OK {
		d.silent(address, tokens)
		return
	}
	d.h.spoke(address)
	if len(answer.Unknown) == 0 {
		return
	}
	var b work.Batch
	var out outgoing
	d.mu.Lock()
	takes := d.h.takes(address)
	for _, w := range answer.Unknown {
		t := fromToken(w)
		a := d.away[t.Serial]
		switch {
		case a == nil || a.token() != t || a.answered || a.address != address:
		case takes:
			out.add(a) // if the first message comes after all, this one changes nothing
		default:
			delete(d.away, t.Serial)
			b.Items = append(b.Items, a.item)
		}
	}
	if !d.closed {
		d.place(&b, &out)
	}
	d.mu.Unlock()
	d.hand(b, out)
}

// silent gives up items of a host that does not answer: those that are replayed at once,
// the others when it has said nothing for the length of a lease.
func (d *desk) silent(address string, tokens []work.Token) {
	gone := !d.h.spokeWithin(address, d.h.opts.Lease)
	var lost []*work.Result
	d.mu.Lock()
	for _, t := range tokens {
		a := d.away[t.Serial]
		switch {
		case a == nil || a.token() != t || a.answered || a.address != address:
			continue
		case gone || a.item.Kind.Replayed():
			lost = append(lost, a.item.Ended(work.Abandoned))
		default:
			a.every = checkFirst
			a.check = d.h.opts.Sched.Mono() + a.every
			continue
		}
		delete(d.away, t.Serial)
	}
	results := d.results
	d.mu.Unlock()
	if len(lost) > 0 {
		fields := []any{"hub", d.h.opts.Name, "partition", d.n, "address", address}
		d.h.opts.Log.Warn("work is taken back from a host that does not answer", append(fields, tally(lost)...)...)
		results(lost)
	}
}

// tally counts results by kind, for the log.
func tally(list []*work.Result) (fields []any) {
	var n [work.Kinds]int
	for _, r := range list {
		n[r.Kind]++
	}
	for k := range work.Kinds {
		fields = append(fields, k.Items(), n[k])
	}
	return fields
}
