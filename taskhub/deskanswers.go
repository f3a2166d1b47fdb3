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
	h.mu.Lock()
	for _, x := range h.members {
		if x.address == m.Runner {
			x.spoke = h.opts.Sched.Mono()
			if m.Room != nil {
				x.setRoom(m.Room)
			}
		}
	}
	h.mu.Unlock()
	var order []int
	by := map[int]*delivery{}
	of := func(n int) *delivery {
		if by[n] == nil {
			by[n] = &delivery{}
			order = append(order, n)
		}
		return by[n]
	}
	for _, r := range m.Episodes {
		to := of(int(r.GetToken().GetPartition()))
		to.results.Episodes = append(to.results.Episodes, fromEpisodeResult(r))
	}
	for _, r := range m.Activities {
		to := of(int(r.GetToken().GetPartition()))
		to.results.Activities = append(to.results.Activities, fromActivityResult(r))
	}
	for _, t := range m.Refused {
		to := of(int(t.GetPartition()))
		to.refused = append(to.refused, fromToken(t))
	}
	for _, n := range order {
		if d := h.desk(n); d != nil {
			d.answered(m.Runner, by[n])
		} else {
			h.late.Add(uint64(len(by[n].results.Episodes) + len(by[n].results.Activities)))
		}
	}
}

// delivery is what a host answers one partition.
type delivery struct {
	results work.Results
	refused []work.Token
}

// answered takes the answers of another host. They may come twice; an activity's is
// acknowledged when it is committed: until then the next owner may want it.
func (d *desk) answered(from string, got *delivery) {
	var r work.Results
	var forget, commit []work.Token
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.h.late.Add(uint64(len(got.results.Episodes) + len(got.results.Activities)))
		return
	}
	late := func(t work.Token) {
		d.h.late.Add(1)
		if t.Epoch == d.epoch {
			forget = append(forget, t)
		} // else the new owner's roll call may be about to find it
	}
	for _, e := range got.results.Episodes {
		if a := d.away[e.Token.Serial]; a == nil || a.token() != e.Token || a.episode == nil {
			late(e.Token)
			continue
		}
		delete(d.away, e.Token.Serial)
		forget = append(forget, e.Token)
		r.Episodes = append(r.Episodes, e)
	}
	for _, x := range got.results.Activities {
		a := d.away[x.Token.Serial]
		switch {
		case a == nil || a.token() != x.Token || a.activity == nil:
			late(x.Token)
			continue
		case a.answered:
			d.h.late.Add(1)
			continue
		case x.Abandoned || d.part == nil:
			delete(d.away, x.Token.Serial)
			if x.Abandoned {
				forget = append(forget, x.Token)
			}
		default:
			a.answered = true
			commit = append(commit, x.Token)
		}
		r.Activities = append(r.Activities, x)
	}
	b, out := d.again(from, got.refused)
	results, part := d.results, d.part
	d.mu.Unlock()
	if ackEarly() {
		d.h.sendTaken(from, commit)
	}
	d.h.sendTaken(from, forget)
	switch {
	case len(r.Episodes)+len(r.Activities) == 0:
	case len(commit) == 0:
		results(r)
	default:
		part.Take(r, func() { d.committed(from, commit) })
	}
	d.hand(b, out)
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
		if a.episode != nil {
			d.h.lacks(from, work.Function{Kind: work.Orchestrator, Name: a.episode.Name})
			b.Episodes = append(b.Episodes, a.episode)
		} else {
			d.h.lacks(from, work.Function{Kind: work.ActivityFunction, Name: a.activity.Name})
			b.Activities = append(b.Activities, a.activity)
		}
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
			if a.episode != nil {
				b.Episodes = append(b.Episodes, a.episode)
			} else {
				b.Activities = append(b.Activities, a.activity)
			}
		}
	}
	if !d.closed {
		d.place(&b, &out)
	}
	d.mu.Unlock()
	d.hand(b, out)
}

// silent gives up items of a host that does not answer: episodes at once, since they can
// run twice without harm; activities when it has said nothing for the length of a lease.
func (d *desk) silent(address string, tokens []work.Token) {
	gone := !d.h.spokeWithin(address, d.h.opts.Lease)
	var r work.Results
	d.mu.Lock()
	for _, t := range tokens {
		a := d.away[t.Serial]
		switch {
		case a == nil || a.token() != t || a.answered || a.address != address:
			continue
		case a.episode != nil:
			r.Episodes = append(r.Episodes, &work.EpisodeResult{Token: t, Abandoned: true})
		case gone:
			r.Activities = append(r.Activities, &work.ActivityResult{Token: t, Abandoned: true})
		default:
			a.every = checkFirst
			a.check = d.h.opts.Sched.Mono() + a.every
			continue
		}
		delete(d.away, t.Serial)
	}
	results := d.results
	d.mu.Unlock()
	if len(r.Episodes)+len(r.Activities) > 0 {
		d.h.opts.Log.Warn("work is taken back from a host that does not answer", "hub", d.h.opts.Name, "partition", d.n,
			"address", address, "episodes", len(r.Episodes), "activities", len(r.Activities))
		results(r)
	}
}
