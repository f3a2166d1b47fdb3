package placement

import (
	"github.com/durafunc/durafunc/taskhub/work"
)

// choice chooses hosts for the items of one batch.
type choice struct {
	local  work.Local
	others []candidate
	free   [work.Kinds]int // of this host's executor
}

// candidate is a host that takes work.
type candidate struct {
	address string
	*peer
}

// choose lists the hosts that items may go to now.
func (p *Placement) choose() choice {
	c := choice{local: p.local}
	hosts := p.cfg.Hosts.Hosts()
	if len(hosts) == 0 || c.local == nil {
		return c
	}
	p.mu.Lock()
	for _, h := range hosts {
		if x := p.peers[h.Address]; x != nil && len(x.can) > 0 && h.Alive && !h.Leaving {
			c.others = append(c.others, candidate{h.Address, x})
		}
	}
	p.mu.Unlock()
	if len(c.others) == 0 {
		return c
	}
	for k := range work.Kinds {
		c.free[k] = c.local.Free(k)
	}
	return c
}

// alone reports whether this host runs everything.
func (c *choice) alone() bool { return len(c.others) == 0 }

// pick is where an item goes: to another host, or to this one's executor; local reports that
// this one has the function. sticky is the
// address of the host that parks the execution, "" if it is this one or nobody. Called with
// the Placement's lock held.
func (c *choice) pick(f work.Function, local bool, sticky string) (address string, other bool) {
	key := folded(f)
	var most *candidate
	for n := range c.others {
		x := &c.others[n]
		if !x.can[key] {
			continue
		}
		if x.address == sticky && x.free[f.Kind] > 0 {
			x.free[f.Kind]--
			return x.address, true
		}
		if most == nil || x.free[f.Kind] > most.free[f.Kind] {
			most = x
		}
	}
	switch {
	case local && c.free[f.Kind] > 0:
		c.free[f.Kind]--
		return "", false
	case most != nil && (most.free[f.Kind] > 0 || !local):
		most.free[f.Kind]--
		return most.address, true
	}
	return "", false // it queues on this host, or waits for its function
}
