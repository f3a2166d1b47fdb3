package placement

import (
	"context"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// isMe reports whether an address is this host's.
func (p *Placement) isMe(address string) bool { return address == p.cfg.Address }

// call asks a host, which may be this one.
func (p *Placement) call(ctx context.Context, address string, r *transport.Request) (*transport.Response, error) {
	if p.isMe(address) {
		return p.Answer(r), nil
	}
	if p.cfg.Network == nil {
		return nil, transport.ErrUnreachable
	}
	return p.cfg.Network.Peer(address).Call(ctx, r)
}

// sendWork sends items to the hosts that were chosen for them.
func (p *Placement) sendWork(out sendBatch) {
	for _, s := range out {
		s.work.Owner = p.cfg.Address
		if p.isMe(s.address) {
			p.worker.work(s.work)
			continue
		}
		p.cfg.Network.Peer(s.address).Post(&transport.Post{Hub: p.cfg.Hub, What: &transport.Post_Work{Work: s.work}})
	}
}

// sendResults sends results to the owners of their partitions.
func (p *Placement) sendResults(out []reply) {
	for _, a := range out {
		a.results.Worker = p.cfg.Address
		if p.isMe(a.address) {
			p.Results(a.results)
			continue
		}
		if p.cfg.Network == nil {
			continue
		}
		a.results.FreeSlots = p.free()
		p.cfg.Network.Peer(a.address).Post(&transport.Post{Hub: p.cfg.Hub, What: &transport.Post_Results{Results: a.results}})
	}
}

// sendResultsAck lets a host forget results.
func (p *Placement) sendResultsAck(address string, tokens []work.Token) {
	switch {
	case len(tokens) == 0:
	case p.isMe(address):
		p.worker.forget(tokens)
	case p.cfg.Network != nil:
		p.cfg.Network.Peer(address).Post(&transport.Post{Hub: p.cfg.Hub, What: &transport.Post_ResultsAck{ResultsAck: &transport.ResultsAck{Tokens: toTokens(tokens)}}})
	}
}

// ResultsAck takes word from an owner of which results can be forgotten.
func (p *Placement) ResultsAck(m *transport.ResultsAck) {
	tokens := make([]work.Token, len(m.Tokens))
	for n, w := range m.Tokens {
		tokens[n] = fromToken(w)
	}
	p.worker.forget(tokens)
}

// Work takes items of another host.
func (p *Placement) Work(m *transport.Work) { p.worker.work(m) }

// Abandon tells the owners of everything that this host still runs for others that it will
// not finish it.
func (p *Placement) Abandon() { p.worker.abandon() }

// Answer answers an owner that asks for items (Poll), or a new one that asks what is run
// of its partition (InFlight).
func (p *Placement) Answer(r *transport.Request) *transport.Response {
	if m := r.GetPoll(); m != nil {
		return p.worker.poll(m)
	}
	return p.inFlight(r.GetInFlight())
}
