package placement

import (
	"context"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// isMe says whether an address is this host's.
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

// sendDone sends answers to the owners of partitions.
func (p *Placement) sendDone(out []reply) {
	for _, a := range out {
		a.done.Runner = p.cfg.Address
		if p.isMe(a.address) {
			p.Done(a.done)
			continue
		}
		if p.cfg.Network == nil {
			continue
		}
		a.done.Room = p.free()
		p.cfg.Network.Peer(a.address).Post(&transport.Post{Hub: p.cfg.Hub, What: &transport.Post_Done{Done: a.done}})
	}
}

// sendTaken lets a host forget answers.
func (p *Placement) sendTaken(address string, tokens []work.Token) {
	switch {
	case len(tokens) == 0:
	case p.isMe(address):
		p.worker.forget(tokens)
	case p.cfg.Network != nil:
		p.cfg.Network.Peer(address).Post(&transport.Post{Hub: p.cfg.Hub, What: &transport.Post_Taken{Taken: &transport.Taken{Tokens: toTokens(tokens)}}})
	}
}

// Taken takes word from an owner of what can be forgotten.
func (p *Placement) Taken(t *transport.Taken) {
	tokens := make([]work.Token, len(t.Tokens))
	for n, w := range t.Tokens {
		tokens[n] = fromToken(w)
	}
	p.worker.forget(tokens)
}

// Work takes items of another host.
func (p *Placement) Work(m *transport.Work) { p.worker.work(m) }

// Abandon tells the owners of everything that still runs here for others that this host
// will not finish it.
func (p *Placement) Abandon() { p.worker.abandon() }

// Answer answers an owner that asks for items (Check), or a new one that asks what is run
// of its partition (Roll).
func (p *Placement) Answer(r *transport.Request) *transport.Response {
	if c := r.GetCheck(); c != nil {
		return p.worker.check(c)
	}
	return p.inFlight(r.GetRoll())
}
