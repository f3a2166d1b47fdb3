package placement

import (
	"github.com/durafunc/durafunc/taskhub/work"
)

// place leaves in b what this host's executor gets and puts the rest into out.
func (as *Assigner) place(b *work.Batch, out *sendBatch) {
	if len(b.Items) == 0 {
		return
	}
	c := as.p.choose()
	if !c.alone() {
		b.Items = as.spread(&c, b.Items, out)
	} else if len(as.sticky) > 0 {
		for _, it := range b.Items {
			if it.Kind.Parked() {
				delete(as.sticky, it.Execution)
			}
		}
	}
	for _, it := range b.Items {
		if !it.Kind.Replayed() {
			as.local[it.Token.Serial] = it
		}
	}
}

// spread puts into out what other hosts get, and returns what this host runs.
func (as *Assigner) spread(c *choice, items []*work.Item, out *sendBatch) (local []*work.Item) {
	has := make([]bool, len(items)) // asked before the lock, which all partitions share
	for n, it := range items {
		has[n] = c.local.Has(it.Function())
	}
	as.p.mu.Lock()
	defer as.p.mu.Unlock()
	for n, it := range items {
		sticky := ""
		if it.Kind.Parked() {
			sticky = as.sticky[it.Execution]
		}
		address, other := c.pick(it.Function(), has[n], sticky)
		other = other && it.Size() <= maxItem
		if it.Kind.Parked() {
			as.settle(it.Execution, address, other)
		}
		if other {
			as.sendRemote(out, &remote{address: address, item: it})
		} else {
			local = append(local, it)
		}
	}
	return local
}

// settle notes which host parks an execution from now on.
func (as *Assigner) settle(execution, address string, other bool) {
	if !other {
		delete(as.sticky, execution)
		return
	}
	if len(as.sticky) >= maxSticky {
		clear(as.sticky)
	}
	as.sticky[execution] = address
}
