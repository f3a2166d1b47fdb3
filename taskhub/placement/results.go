package placement

import (
	"slices"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Results takes those that another host, or this one's worker, has for partitions of this host.
func (p *Placement) Results(m *transport.Results) {
	p.learnFrom(m)
	for _, got := range deliveries(m) {
		if as := p.assigner(got.partition); as != nil {
			as.remoteResults(m.Worker, got)
		} else {
			p.late.Add(uint64(len(got.results)))
		}
	}
}

// learnFrom notes what results say of the worker that sends them.
func (p *Placement) learnFrom(m *transport.Results) {
	if p.isMe(m.Worker) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peer(m.Worker)
	x.lastSeen = p.cfg.Sched.Mono()
	if m.FreeSlots != nil {
		x.setFree(m.FreeSlots)
	}
}

// delivery is what results are for one partition.
type delivery struct {
	partition int
	results   []*work.Result
	refused   []work.Token
}

// deliveries sorts results by partition, in the order in which those are first named.
func deliveries(m *transport.Results) (list []*delivery) {
	of := func(n int) *delivery {
		if i := slices.IndexFunc(list, func(x *delivery) bool { return x.partition == n }); i >= 0 {
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

// remoteResults takes the results of another host. They may come twice; the result of what is
// not replayed is acknowledged when it is committed: until then the next owner may want it.
func (as *Assigner) remoteResults(from string, got *delivery) {
	as.mu.Lock()
	if as.closed {
		as.mu.Unlock()
		as.p.late.Add(uint64(len(got.results)))
		return
	}
	var in arrived
	for _, r := range got.results {
		as.arrive(&in, r)
	}
	b, out := as.reassign(from, got.refused)
	results, part := as.results, as.part
	as.mu.Unlock()
	if ackEarly() {
		as.p.sendResultsAck(from, in.commit)
	}
	as.p.sendResultsAck(from, in.forget)
	switch {
	case len(in.wanted) == 0:
	case len(in.commit) == 0:
		results(in.wanted)
	default:
		part.Take(in.wanted, func() { as.committed(from, in.commit) })
	}
	as.hand(b, out)
}

// arrived is what is done with results: which the partition gets, and which of them their
// worker can forget at once, and which when they are committed.
type arrived struct {
	wanted         []*work.Result
	forget, commit []work.Token
}

// arrive takes one result of another host. Called with the lock held.
func (as *Assigner) arrive(in *arrived, r *work.Result) {
	t := r.Token
	a := as.remote[t.Serial]
	switch {
	case a == nil || a.token() != t || a.item.Kind != r.Kind:
		as.p.late.Add(1)
		if t.Epoch == as.epoch {
			in.forget = append(in.forget, t)
		} // else the new owner may be about to ask for it (InFlight)
		return
	case a.answered:
		as.p.late.Add(1)
		return
	case r.Kind.Replayed() || r.Outcome != work.Completed:
		delete(as.remote, t.Serial)
		in.forget = append(in.forget, t)
	case as.part == nil:
		delete(as.remote, t.Serial)
	default:
		a.answered = true
		in.commit = append(in.commit, t)
	}
	in.wanted = append(in.wanted, r)
}

// committed forgets results that are durable, and lets their worker do so.
func (as *Assigner) committed(from string, tokens []work.Token) {
	as.mu.Lock()
	for _, t := range tokens {
		delete(as.remote, t.Serial)
	}
	as.mu.Unlock()
	as.p.sendResultsAck(from, tokens)
}

// reassign places items anew that a host has refused. It is not asked again for such a
// function before it has said what it has.
func (as *Assigner) reassign(from string, refused []work.Token) (b work.Batch, out sendBatch) {
	if len(refused) == 0 {
		return b, nil
	}
	for _, t := range refused {
		a := as.remote[t.Serial]
		if a == nil || a.token() != t || a.answered || a.address != from {
			continue
		}
		delete(as.remote, t.Serial)
		as.p.lacksFunction(from, a.item.Function())
		b.Items = append(b.Items, a.item)
	}
	as.place(&b, &out)
	return b, out
}
