// Package workload is what the clients of the chaos run and its function app agree on:
// names, inputs, outputs, and what each orchestration must return. Every answer can be
// computed from the input, or from which events were acknowledged.
package workload

import (
	"fmt"
	"hash/fnv"
)

// Names of the orchestrators.
const (
	SumName     = "Sum"
	TreeName    = "Tree"
	ChainName   = "Chain"
	CounterName = "Counter"
	CourierName = "Courier"
	GateName    = "Gate"
)

// Names of activities and events.
const (
	Square   = "Square"          // int to int
	Leaf     = "Leaf"            // path to its value, or a failure
	Next     = "Next"            // int to int + 1
	Message  = "Message"         // event of Counter, with a Msg
	Go       = "Go"              // event of Gate, with its output
	Passed   = "passed"          // what the clients of a Gate send
	PerRound = 5                 // messages of one execution of Counter
	PathJoin = "."               // between the steps of a path in a Tree
	Failing  = "leaf %s refuses" // format of a Leaf's failure
)

// Sum fans out N activities and adds their results.
type Sum struct {
	N int `json:"n"`
}

// Want is the output of s.
func (s Sum) Want() int {
	sum := 0
	for i := range s.N {
		sum += i * i
	}
	return sum
}

// Tree is a tree of sub-orchestrations, each with an id made of its path, so that they
// spread over the partitions. One leaf in Fail fails, and its orchestration with it.
type Tree struct {
	Path  string `json:"path"` // also the id of the instance
	Depth int    `json:"depth"`
	Width int    `json:"width"`
	Fail  int    `json:"fail"` // 0: none
}

// TreeSum is the output of a Tree.
type TreeSum struct {
	Leaves int `json:"leaves"`
	Failed int `json:"failed"`
	Sum    int `json:"sum"`
}

// Add adds o to s.
func (s TreeSum) Add(o TreeSum) TreeSum {
	return TreeSum{Leaves: s.Leaves + o.Leaves, Failed: s.Failed + o.Failed, Sum: s.Sum + o.Sum}
}

// Child is the n-th subtree.
func (t Tree) Child(n int) Tree {
	t.Path = fmt.Sprint(t.Path, PathJoin, n)
	t.Depth--
	return t
}

// Fails reports whether t, a leaf, fails.
func (t Tree) Fails() bool { return t.Fail > 0 && Value(t.Path)%t.Fail == 0 }

// Want is the output of t. A leaf that fails has none; its parent counts it.
func (t Tree) Want() TreeSum {
	if t.Depth == 0 {
		if t.Fails() {
			return TreeSum{Leaves: 1, Failed: 1}
		}
		return TreeSum{Leaves: 1, Sum: Value(t.Path)}
	}
	sum := TreeSum{}
	for n := range t.Width {
		sum = sum.Add(t.Child(n).Want())
	}
	return sum
}

// Value is what a leaf is worth.
func Value(path string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path)) // never fails
	return int(h.Sum32() % 1000)
}

// Chain counts to Steps by activities, with a timer after each second one. Its output
// is Steps.
type Chain struct {
	Steps  int `json:"steps"`
	Millis int `json:"millis"` // of each timer
}

// Msg is the data of an event for a Counter: the id of one message, or the last word.
type Msg struct {
	ID string `json:"id,omitempty"`
	// Must, when it is not nil, lets the counter end once it has seen these ids.
	Must []string `json:"must"`
}

// Counter is input, state and output of a counter: what it has seen, in order and with
// repetitions. It begins anew after PerRound messages.
type Counter struct {
	Seen   []string `json:"seen"`
	Must   []string `json:"must,omitempty"`
	Closed bool     `json:"closed,omitempty"`
}

// Complete says that the last word was said and nothing is missing.
func (c Counter) Complete() bool {
	if !c.Closed {
		return false
	}
	seen := map[string]bool{}
	for _, id := range c.Seen {
		seen[id] = true
	}
	for _, id := range c.Must {
		if !seen[id] {
			return false
		}
	}
	return true
}

// Shown is a Counter's custom status.
type Shown struct {
	Count  int    `json:"count"`
	Digest string `json:"digest"` // of the ids seen, in order: two of one count must agree
}

// Show is the custom status for what was seen.
func Show(seen []string) Shown {
	h := fnv.New64a()
	for _, id := range seen {
		_, _ = h.Write([]byte(id + "\n")) // never fails
	}
	return Shown{Count: len(seen), Digest: fmt.Sprintf("%016x", h.Sum64())}
}

// Courier sends N messages to a Counter, from its own orchestration and so with
// whatever brings messages from one partition to another. Its output is N.
type Courier struct {
	To string `json:"to"`
	N  int    `json:"n"`
}

// MessageID is the id of a courier's n-th message.
func MessageID(courier string, n int) string { return fmt.Sprintf("%s/%d", courier, n) }
