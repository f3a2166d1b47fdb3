package taskhub

import (
	"context"
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Late counts the answers of work items for which nobody waited any more, since the hub
// was opened: the item had been cancelled or given to somebody else, its partition had
// moved, or the answer came twice. They are dropped.
func (h *Hub) Late() uint64 { return h.late.Load() }

// isMe says whether an address is this host's.
func (h *Hub) isMe(address string) bool { return address == h.opts.About.Address }

// callHost asks a host, which may be this one.
func (h *Hub) callHost(ctx context.Context, address string, r *transport.Request) (*transport.Response, error) {
	if h.isMe(address) {
		return peers{h}.Call(ctx, r), nil
	}
	if h.net == nil {
		return nil, transport.ErrUnreachable
	}
	return h.net.Peer(address).Call(ctx, r)
}

// sendWork sends items to the hosts that were chosen for them.
func (h *Hub) sendWork(out outgoing) {
	for _, p := range out {
		p.work.Owner = h.opts.About.Address
		if h.isMe(p.address) {
			h.runner.work(p.work)
			continue
		}
		h.net.Peer(p.address).Post(&transport.Post{Hub: h.id, What: &transport.Post_Work{Work: p.work}})
	}
}

// sendDone sends answers to the owners of partitions.
func (h *Hub) sendDone(out []answering) {
	for _, a := range out {
		a.done.Runner = h.opts.About.Address
		if h.isMe(a.address) {
			h.done(a.done)
			continue
		}
		if h.net == nil {
			continue
		}
		a.done.Room = h.room()
		h.net.Peer(a.address).Post(&transport.Post{Hub: h.id, What: &transport.Post_Done{Done: a.done}})
	}
}

// sendTaken lets a host forget answers.
func (h *Hub) sendTaken(address string, tokens []work.Token) {
	switch {
	case len(tokens) == 0:
	case h.isMe(address):
		h.runner.forget(tokens)
	case h.net != nil:
		h.net.Peer(address).Post(&transport.Post{Hub: h.id, What: &transport.Post_Taken{Taken: &transport.Taken{Tokens: toTokens(tokens)}}})
	}
}

// taken takes word from an owner of what can be forgotten.
func (h *Hub) taken(t *transport.Taken) {
	tokens := make([]work.Token, len(t.Tokens))
	for n, w := range t.Tokens {
		tokens[n] = fromToken(w)
	}
	h.runner.forget(tokens)
}

// spoke notes a sign of life of the host at an address.
func (h *Hub) spoke(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.members {
		if m.address == address {
			m.spoke = h.opts.Sched.Mono()
		}
	}
}

// spokeWithin says whether the host at an address has given a sign of life in the last d.
func (h *Hub) spokeWithin(address string, d time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.members {
		if m.address == address && h.opts.Sched.Mono()-m.spoke < d {
			return true
		}
	}
	return false
}

// presentHosts lists the addresses of the hosts that are heard, or of which this host has
// been told so lately that it cannot have heard them yet, each once.
func (h *Hub) presentHosts() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]bool{h.opts.About.Address: true}
	for _, m := range h.members {
		isNew := m.heard == 0 && h.opts.Sched.Mono()-m.met < silentHellos*h.helloEvery()
		if (isNew || h.audible(m)) && !seen[m.address] {
			seen[m.address] = true
			list = append(list, m.address)
		}
	}
	return list
}

// isLeaving says whether this host takes no work of others any more.
func (h *Hub) isLeaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leaving || h.stopping
}
