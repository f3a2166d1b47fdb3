package taskhub

import (
	"math"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// skills is what a host can run, by names in lower case.
type skills map[work.Function]bool

func folded(f work.Function) work.Function {
	return work.Function{Kind: f.Kind, Name: strings.ToLower(f.Name)}
}

// setRoom notes how many more items a host says that it can begin.
func (m *member) setRoom(r *transport.Room) {
	for k, free := range r.Free {
		if k < int(work.Kinds) {
			m.room[k] = int(free)
		}
	}
}

// learnSkills notes what a host says that it can run, and says whether that is news.
// Called with the lock held.
func (m *member) learnSkills(hello *transport.Hello) (news bool) {
	if hello.Asleep {
		return false // it has them still
	}
	if hello.Room != nil {
		m.setRoom(hello.Room)
	}
	offers := make([]work.Function, 0, len(hello.Functions))
	for _, f := range hello.Functions {
		if f.GetKind() < uint32(work.Kinds) {
			offers = append(offers, work.Function{Kind: work.Kind(f.GetKind()), Name: f.GetName()})
		}
	}
	if slices.Equal(offers, m.offers) && len(m.skills) == len(offers) {
		return false
	}
	m.offers, m.skills = offers, skills{}
	for _, f := range offers {
		m.skills[folded(f)] = true
	}
	return true
}

// able is this host's executor, if it tells what it can run.
func (h *Hub) able() work.Local {
	local, _ := h.opts.Exec.(work.Local)
	return local
}

// offer puts into a Hello what this host can run.
func (h *Hub) offer(hello *transport.Hello) {
	local := h.able()
	if local == nil {
		return
	}
	for _, f := range local.Offers() {
		hello.Functions = append(hello.Functions, &transport.Function{Kind: uint32(f.Kind), Name: f.Name})
	}
	hello.Room = h.room()
}

// room is how many more items this host can begin; nil if it does not know.
func (h *Hub) room() *transport.Room {
	local := h.able()
	if local == nil {
		return nil
	}
	r := &transport.Room{Free: make([]uint32, work.Kinds)}
	for k := range work.Kinds {
		r.Free[k] = uint32(min(local.Free(k), math.MaxInt32))
	}
	return r
}

// Elsewhere lists the functions that the other hosts of the hub have, as far as they are
// heard or hibernate, each once, sorted by kind and name.
func (h *Hub) Elsewhere() []work.Function {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []work.Function
	seen := skills{}
	for _, m := range h.members {
		if m.leaving || !m.asleep && !h.audible(m) {
			continue
		}
		for _, f := range m.offers {
			if key := folded(f); m.skills[key] && !seen[key] {
				seen[key] = true
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

// yield lets this host's executor give back what waits for functions that another host
// has, so that it is sent there.
func (h *Hub) yield() {
	local := h.able()
	if local == nil {
		return
	}
	there := skills{} // looked up under the executor's lock, and so without the hub's
	for _, f := range h.Elsewhere() {
		there[folded(f)] = true
	}
	if len(there) > 0 {
		local.Yield(func(f work.Function) bool { return there[folded(f)] })
	}
}

// takesWork says whether work can be sent to a host. Called with the lock held.
func (h *Hub) takesWork(m *member) bool {
	return h.audible(m) && !m.leaving && len(m.skills) > 0
}

// takes says whether work can be sent to the host at an address.
func (h *Hub) takes(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return address == h.opts.About.Address ||
		slices.ContainsFunc(h.members, func(m *member) bool { return m.address == address && h.takesWork(m) })
}

// lacks notes that the host at an address has not got a function, until it says what it
// has.
func (h *Hub) lacks(address string, f work.Function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.members {
		if m.address == address {
			delete(m.skills, folded(f))
		}
	}
}

// placing chooses hosts for the items of one Submit.
type placing struct {
	h      *Hub
	local  work.Local
	others []*member
	free   [work.Kinds]int
}

func (h *Hub) choose() placing {
	p := placing{h: h}
	h.mu.Lock()
	for _, m := range h.members {
		if h.takesWork(m) {
			p.others = append(p.others, m)
		}
	}
	h.mu.Unlock()
	if len(p.others) == 0 {
		return p
	}
	if p.local = h.able(); p.local == nil {
		p.others = nil
		return p
	}
	for k := range work.Kinds {
		p.free[k] = p.local.Free(k)
	}
	return p
}

// alone says that everything stays here.
func (p *placing) alone() bool { return len(p.others) == 0 }

// pick says where an item goes: to another host, or to this one's executor. home is the
// address of the host that parks the orchestrator, "" if it is this one or nobody.
func (p *placing) pick(f work.Function, home string) (address string, other bool) {
	here := p.local.Has(f)
	key := folded(f)
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	var most *member
	for _, m := range p.others {
		if !m.skills[key] {
			continue
		}
		if m.address == home && m.room[f.Kind] > 0 {
			m.room[f.Kind]--
			return m.address, true
		}
		if most == nil || m.room[f.Kind] > most.room[f.Kind] {
			most = m
		}
	}
	switch {
	case here && p.free[f.Kind] > 0:
		p.free[f.Kind]--
		return "", false
	case most != nil && (most.room[f.Kind] > 0 || !here):
		most.room[f.Kind]--
		return most.address, true
	}
	return "", false // it queues here, or waits for its function
}
