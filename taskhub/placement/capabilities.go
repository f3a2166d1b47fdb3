package placement

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// capabilities is what a host can run, by names in lower case.
type capabilities map[work.Function]bool

func folded(f work.Function) work.Function {
	return work.Function{Kind: f.Kind, Name: strings.ToLower(f.Name)}
}

// peer is what another host has said of the work that it can do.
type peer struct {
	lastSeen time.Duration   // Mono of its last sign of life of any kind
	offers   []work.Function // what it said that it can run
	can      capabilities    // the same, less what it was found not to have since
	free     [work.Kinds]int // how many more items it can begin, as far as this host knows
}

// setFree notes how many more items a host says that it can begin.
func (x *peer) setFree(r *transport.FreeSlots) {
	for k, free := range r.ByKind {
		if k < int(work.Kinds) {
			x.free[k] = int(free)
		}
	}
}

// learn notes what a host says that it can run, and reports whether that is new.
func (x *peer) learn(m *transport.Heartbeat) (isNew bool) {
	if m.Dormant {
		return false // it has them still
	}
	if m.FreeSlots != nil {
		x.setFree(m.FreeSlots)
	}
	offers := make([]work.Function, 0, len(m.Functions))
	for _, f := range m.Functions {
		if f.GetKind() < uint32(work.Kinds) {
			offers = append(offers, work.Function{Kind: work.Kind(f.GetKind()), Name: f.GetName()})
		}
	}
	if slices.Equal(offers, x.offers) && len(x.can) == len(offers) {
		return false
	}
	x.offers, x.can = offers, capabilities{}
	for _, f := range offers {
		x.can[folded(f)] = true
	}
	return true
}

// peer is what is known of the host at an address. Called with the lock held.
func (p *Placement) peer(address string) *peer {
	x := p.peers[address]
	if x == nil {
		x = &peer{}
		p.peers[address] = x
	}
	return x
}

// Heartbeat takes what another host says of itself. It is called before Hosts takes it, and
// reports whether work may go there now that did not before: see Rebalance.
func (p *Placement) Heartbeat(m *transport.Heartbeat) (changed bool) {
	if p.isMe(m.Address) {
		return false
	}
	hosts := p.cfg.Hosts.Hosts()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Sched.Mono()
	for address, x := range p.peers {
		if now-x.lastSeen > p.cfg.Lease && address != m.Address && !slices.ContainsFunc(hosts, func(h cluster.Host) bool { return h.Address == address }) {
			delete(p.peers, address) // it is forgotten
		}
	}
	x := p.peer(m.Address)
	took := p.takes(hosts, m.Address)
	x.lastSeen = now
	return x.learn(m) || !took
}

// takes reports whether work can be sent to the host at an address. Called with the lock held.
func (p *Placement) takes(hosts []cluster.Host, address string) bool {
	x := p.peers[address]
	return x != nil && len(x.can) > 0 &&
		slices.ContainsFunc(hosts, func(h cluster.Host) bool { return h.Address == address && h.Alive && !h.Leaving })
}

// canSend is takes, also for this host.
func (p *Placement) canSend(address string) bool {
	if p.isMe(address) {
		return true
	}
	hosts := p.cfg.Hosts.Hosts()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takes(hosts, address)
}

// lacksFunction notes that the host at an address has not got a function, until it says what
// it has.
func (p *Placement) lacksFunction(address string, f work.Function) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.peers[address]; x != nil {
		delete(x.can, folded(f))
	}
}

// seen notes a sign of life of the host at an address.
func (p *Placement) seen(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peer(address).lastSeen = p.cfg.Sched.Mono()
}

// seenWithin reports whether the host at an address has given a sign of life in the last d.
func (p *Placement) seenWithin(address string, d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[address]
	return x != nil && x.lastSeen != 0 && p.cfg.Sched.Mono()-x.lastSeen < d
}

// presentHosts lists the addresses of the hosts that are alive, or so new that this host
// cannot have heard them yet, each once.
func (p *Placement) presentHosts() (list []string) {
	for _, h := range p.cfg.Hosts.Hosts() {
		if (h.New || h.Alive) && !p.isMe(h.Address) && !slices.Contains(list, h.Address) {
			list = append(list, h.Address)
		}
	}
	return list
}

// Offer puts into a heartbeat what this host can run.
func (p *Placement) Offer(m *transport.Heartbeat) {
	if p.local == nil {
		return
	}
	for _, f := range p.local.Offers() {
		m.Functions = append(m.Functions, &transport.Function{Kind: uint32(f.Kind), Name: f.Name})
	}
	m.FreeSlots = p.free()
}

// free is how many more items this host can begin; nil if it does not know.
func (p *Placement) free() *transport.FreeSlots {
	if p.local == nil {
		return nil
	}
	r := &transport.FreeSlots{ByKind: make([]uint32, work.Kinds)}
	for k := range work.Kinds {
		r.ByKind[k] = uint32(min(p.local.Free(k), math.MaxInt32))
	}
	return r
}

// Elsewhere lists the functions that the other hosts of the hub have, as far as they are
// alive or hibernate, each once, sorted by kind and name.
func (p *Placement) Elsewhere() []work.Function {
	hosts := p.cfg.Hosts.Hosts()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []work.Function
	listed := capabilities{}
	for _, h := range hosts {
		x := p.peers[h.Address]
		if x == nil || h.Leaving || !h.Dormant && !h.Alive {
			continue
		}
		for _, f := range x.offers {
			if key := folded(f); x.can[key] && !listed[key] {
				listed[key] = true
				list = append(list, f)
			}
		}
	}
	slices.SortFunc(list, func(a, b work.Function) int {
		if a.Kind != b.Kind {
			return int(a.Kind - b.Kind)
		}
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return list
}

// Rebalance lets this host's executor give back what waits for functions that another host
// has, so that it is sent there.
func (p *Placement) Rebalance() {
	if p.local == nil {
		return
	}
	there := capabilities{} // looked up under the executor's lock
	for _, f := range p.Elsewhere() {
		there[folded(f)] = true
	}
	if len(there) > 0 {
		p.local.Yield(func(f work.Function) bool { return there[folded(f)] })
	}
}
