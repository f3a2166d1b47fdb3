package dispatch

import "slices"

// What tests ask of a Dispatcher, and nobody else.

// Functions lists the functions, sorted by kind and name.
func (d *Dispatcher) Functions() []Function {
	d.mu.Lock()
	out := slices.Clone(d.routes.list)
	d.mu.Unlock()
	slices.SortFunc(out, func(a, b Function) int { return compareFunctions(a.Kind, a.Name, b.Kind, b.Name) })
	return out
}

// Load says how busy one kind is: items with apps, and items that wait for a free
// place among them.
type Load struct {
	Running, Queued int
}

// Load reads the load of a kind.
func (d *Dispatcher) Load(k Kind) Load {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.lanes[k]
	load := Load{Running: l.running}
	for _, it := range l.queue.Items() {
		if d.items[it.id] == it {
			load.Queued++
		}
	}
	return load
}
