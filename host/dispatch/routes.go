package dispatch

import (
	"slices"
	"strings"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Function is a function and where it runs.
type Function struct {
	Kind Kind
	Name string // by which it is called; without regard to case
	App  string // name of the app

	// Handle takes its work; nil while the app restarts. Handles are compared.
	Handle App

	// Function and Bindings are what the app described, for listings.
	Function string
	Bindings []*protocol.Binding
}

// available reports whether work can be sent; a nil Function is one that no app has.
func (f *Function) available() bool { return f != nil && f.Handle != nil }

// routes finds functions. Callers mostly spell a name as it was registered, so
// that is tried before the name is folded, which would allocate for each item.
type routes struct {
	list             []Function
	exact            [kinds]map[string]*Function
	folded           [kinds]map[string]*Function
	orchestratorApps []App // each once
}

func newRoutes(list []Function) routes {
	r := routes{list: list}
	for k := range kinds {
		r.exact[k], r.folded[k] = make(map[string]*Function), make(map[string]*Function)
	}
	for i := range list {
		f := &list[i]
		key := strings.ToLower(f.Name)
		if r.folded[f.Kind][key] != nil {
			continue // the first one has it
		}
		r.exact[f.Kind][f.Name] = f
		r.folded[f.Kind][key] = f
		if f.Kind == Orchestrator && f.Handle != nil && !slices.Contains(r.orchestratorApps, f.Handle) {
			r.orchestratorApps = append(r.orchestratorApps, f.Handle)
		}
	}
	return r
}

func (r *routes) find(k Kind, name string) *Function {
	if f := r.exact[k][name]; f != nil {
		return f
	}
	return r.folded[k][strings.ToLower(name)]
}

func (r *routes) names(k Kind) []string {
	var out []string
	for _, f := range r.folded[k] {
		out = append(out, f.Name)
	}
	slices.Sort(out)
	return out
}

// SetFunctions replaces what is known of functions; the Dispatcher keeps the
// slice. Waiting work is looked at again. Calls must come in the order of the
// changes.
func (d *Dispatcher) SetFunctions(list []Function) {
	d.locked(func(_ *frames, out *deliveries) {
		d.routes = newRoutes(list)
		d.recheck(out)
	})
}
