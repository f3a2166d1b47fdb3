package placement

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// How long an item is out before its host is asked for it, at first and at most; how
// often the Assigner looks for such items; how long the host may take to answer.
const (
	pollFirst   = 2 * time.Second
	pollMost    = 10 * time.Second
	pollEvery   = time.Second
	pollTimeout = 2 * time.Second
)

// token is which attempt it is.
func (a *remote) token() work.Token { return a.item.Token }

// sendRemote notes an item for another host.
func (as *Assigner) sendRemote(out *sendBatch, a *remote) {
	a.sent = as.p.cfg.Sched.Mono()
	a.every = pollFirst
	a.nextPoll = a.sent + a.every
	as.remote[a.token().Serial] = a
	out.add(a)
	if !as.polling {
		as.polling = true
		as.beside.Go(as.pollRemote)
	}
}

// pollRemote asks for items that are with other hosts for long, until none is. A message may
// have been lost, or a host have gone.
func (as *Assigner) pollRemote() {
	for as.p.cfg.Sched.Sleep(as.ctx, pollEvery) == nil {
		due, more := as.dueItems()
		if !more {
			return
		}
		polls := sched.NewGroup(as.p.cfg.Sched)
		for _, q := range due {
			polls.Go(func() { as.poll(q.address, q.tokens) })
		}
		_ = polls.Wait(context.Background()) // ends with the Assigner's context
	}
}

// pollRequest is the items for which one host is asked.
type pollRequest struct {
	address string
	tokens  []work.Token // by serial
}

// dueItems lists what to ask for now; more is false when no item is with another host any
// more, and then polling ends.
func (as *Assigner) dueItems() (list []pollRequest, more bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.closed || len(as.remote) == 0 {
		as.polling = false
		return nil, false
	}
	now := as.p.cfg.Sched.Mono()
	var serials []uint64
	for s, a := range as.remote {
		if !a.answered && a.nextPoll <= now {
			serials = append(serials, s)
		}
	}
	slices.Sort(serials)
	for _, s := range serials {
		a := as.remote[s]
		a.every = min(2*a.every, pollMost)
		a.nextPoll = now + a.every
		n := slices.IndexFunc(list, func(q pollRequest) bool { return q.address == a.address })
		if n < 0 {
			n = len(list)
			list = append(list, pollRequest{address: a.address})
		}
		list[n].tokens = append(list[n].tokens, a.token())
	}
	return list, true
}

// poll asks a host for items. What it does not know never arrived there, or it has started
// anew since: it is sent again.
func (as *Assigner) poll(address string, tokens []work.Token) {
	r := &transport.Request{Hub: as.p.cfg.Hub, Partition: uint32(as.n), Op: &transport.Request_Poll{Poll: &transport.Poll{
		Owner: as.p.cfg.Address, Tokens: toTokens(tokens),
	}}}
	ctx, cancel := as.p.cfg.Sched.WithTimeout(as.ctx, pollTimeout)
	answer, err := as.p.call(ctx, address, r)
	cancel()
	if as.ctx.Err() != nil {
		return
	}
	if err != nil || answer.Code != transport.Code_OK {
		as.giveUp(address, tokens)
		return
	}
	as.p.seen(address)
	if len(answer.Unknown) == 0 {
		return
	}
	var b work.Batch
	var out sendBatch
	as.mu.Lock()
	takes := as.p.canSend(address)
	for _, w := range answer.Unknown {
		t := fromToken(w)
		a := as.remote[t.Serial]
		switch {
		case a == nil || a.token() != t || a.answered || a.address != address:
		case takes:
			out.add(a) // if the first message comes after all, this one changes nothing
		default:
			delete(as.remote, t.Serial)
			b.Items = append(b.Items, a.item)
		}
	}
	if !as.closed {
		as.place(&b, &out)
	}
	as.mu.Unlock()
	as.hand(b, out)
}

// giveUp gives up items of a host that does not answer: those that are replayed at once,
// the others when it has said nothing for the length of a lease.
func (as *Assigner) giveUp(address string, tokens []work.Token) {
	gone := !as.p.seenWithin(address, as.p.cfg.Lease)
	var lost []*work.Result
	as.mu.Lock()
	for _, t := range tokens {
		a := as.remote[t.Serial]
		switch {
		case a == nil || a.token() != t || a.answered || a.address != address:
			continue
		case gone || a.item.Kind.Replayed():
			lost = append(lost, a.item.Ended(work.Abandoned))
		default:
			a.every = pollFirst
			a.nextPoll = as.p.cfg.Sched.Mono() + a.every
			continue
		}
		delete(as.remote, t.Serial)
	}
	results := as.results
	as.mu.Unlock()
	if len(lost) > 0 {
		fields := []any{"partition", as.n, "address", address}
		as.p.cfg.Log.Warn("work is taken back from a host that does not answer", append(fields, tally(lost)...)...)
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
