package model

import (
	"fmt"
	"hash/maphash"
)

// Result is what a search found.
type Result struct {
	States int  // that differ
	Steps  int  // between them
	Depth  int  // the longest of the shortest ways to a state
	Whole  bool // every state within the bounds was seen
	Taken  [actions]int
	// Wrong is the first violation, and Trace the shortest way to one.
	Wrong *Violation
	Trace []string
}

// node says how a state was reached.
type node struct {
	from uint32
	step step
}

type found struct {
	state State
	node  uint32
}

// fingerprint stands for a state in the set of those that were seen: 128 bits of two hashes,
// since the states themselves would take five times the memory. Among ten million
// states two share one with a probability of 10^-24.
type fingerprint [2]uint64

// Search goes through all states breadth first, to the first violation or until limit
// states were seen (0: no limit).
func Search(rules Rules, bounds Bounds, limit int) Result {
	m := &machine{rules: rules, bounds: bounds}
	first := initial()
	seen := map[fingerprint]struct{}{}
	one, two := maphash.MakeSeed(), maphash.MakeSeed()
	of := func(s State) fingerprint { return fingerprint{maphash.Comparable(one, s), maphash.Comparable(two, s)} }
	seen[of(first)] = struct{}{}
	nodes := []node{{}}
	var res Result
	level := []found{{first, 0}}
	for len(level) > 0 {
		var below []found
		for i := range level {
			for _, next := range m.next(&level[i].state) {
				res.Steps++
				res.Taken[next.step.action]++
				p := of(next.state)
				if _, known := seen[p]; known && next.wrong == nil {
					continue
				}
				seen[p] = struct{}{}
				nodes = append(nodes, node{level[i].node, next.step})
				last := uint32(len(nodes) - 1)
				wrong := next.wrong
				if wrong == nil {
					wrong = m.check(&next.state)
				}
				if wrong != nil {
					res.States, res.Wrong, res.Trace = len(seen), wrong, trace(nodes, last)
					return res
				}
				below = append(below, found{next.state, last})
			}
			if limit > 0 && len(seen) >= limit {
				res.States = len(seen)
				return res
			}
		}
		level = below
		res.Depth++
	}
	res.States, res.Whole = len(seen), true
	return res
}

func trace(nodes []node, at uint32) []string {
	var steps []string
	for ; at != 0; at = nodes[at].from {
		steps = append(steps, nodes[at].step.String())
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	for i := range steps {
		steps[i] = fmt.Sprintf("%2d. %s", i+1, steps[i])
	}
	return steps
}
