package main

import (
	"maps"
	"path"
	"slices"
)

// A graph holds, for each node, the nodes that it points to.
type graph map[string]map[string]bool

// graphOf is the graph of the packages and their imports.
func graphOf(pkgs []pkg) graph {
	g := make(graph, len(pkgs))
	for _, p := range pkgs {
		g[p.path] = make(map[string]bool, len(p.imports))
		for _, i := range p.imports {
			g[p.path][i] = true
		}
	}
	return g
}

// from keeps what can be reached from the roots.
func (g graph) from(roots []string) graph {
	kept := make(graph)
	for todo := slices.Clone(roots); len(todo) > 0; todo = todo[1:] {
		node := todo[0]
		if _, known := g[node]; !known || kept[node] != nil {
			continue
		}
		kept[node] = g[node]
		todo = append(todo, g.next(node)...)
	}
	return kept
}

// next are the nodes that a node points to, in order.
func (g graph) next(node string) []string { return slices.Sorted(maps.Keys(g[node])) }

// nodes are all nodes, in order.
func (g graph) nodes() []string { return slices.Sorted(maps.Keys(g)) }

// fold draws each node as the one that names says; what points to itself then is dropped.
func (g graph) fold(names map[string]string) graph {
	folded := make(graph)
	for node, next := range g {
		name := names[node]
		if folded[name] == nil {
			folded[name] = make(map[string]bool)
		}
		for n := range next {
			if names[n] != name {
				folded[name][names[n]] = true
			}
		}
	}
	return folded
}

// reduce leaves out each edge that says nothing new, because a way of other edges leads
// there as well. What can be reached from where stays as it was.
func (g graph) reduce() {
	for _, node := range g.nodes() {
		for _, next := range g.next(node) {
			delete(g[node], next)
			if !g.reaches(node, next) {
				g[node][next] = true
			}
		}
	}
}

func (g graph) reaches(node, target string) bool {
	_, found := g.from([]string{node})[target]
	return found
}

// nodesOf names the node of the picture for each package. What implements the contract of the
// package above it shares a node with what else does (storage/*), and what is used by the
// package above it alone is a part of that one (file/journal). The rooms right below a top
// package stand for themselves, however few import them.
func (g graph) nodesOf() map[string]string {
	names := make(map[string]string, len(g))
	for _, node := range g.nodes() { // what is above comes first
		names[node] = node
		above := path.Dir(node)
		if path.Base(above) == "internal" {
			above = path.Dir(above) // that directory holds no package
		}
		switch _, known := g[above]; {
		case !known:
		case g[node][above] && names[above] == above:
			names[node] = above + "/*"
		case g[node][above], path.Dir(above) != "." && g.onlyWithin(node, above):
			names[node] = names[above]
		}
	}
	return names
}

// onlyWithin reports whether whatever points to node is dir or below it.
func (g graph) onlyWithin(node, dir string) bool {
	for n := range g {
		if g[n][node] && !within(n, dir) {
			return false
		}
	}
	return true
}
