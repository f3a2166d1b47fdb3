// Package faulty wraps a storage.Store and makes requests fail in all the ways that
// a bucket has (E§A5.3): before it was applied, after it, applied only later, never
// answered, and with everything down.
//
// What happens to a request is a Decide function, which holds no clock, goroutine
// or global randomness: Seeded draws it from a seed, Script reads it from a table. A
// simulator with its own scheduler uses the same functions and New with Later.
package faulty

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
)

// Op is a verb of storage.Store.
type Op int

// The verbs.
const (
	Get Op = iota
	Create
	Replace
	Delete
	List
)

// String is the verb in lower case.
func (o Op) String() string {
	if names := [...]string{"get", "create", "replace", "delete", "list"}; o >= 0 && int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Op(%d)", int(o))
}

// IsWrite reports whether the verb changes the store.
func (o Op) IsWrite() bool { return o == Create || o == Replace || o == Delete }

// Fault is what happens to one request.
type Fault int

// The faults. For Get and List, which change nothing, FailAfter and FailLate are
// answers lost on the way: an error after the store did the work, and for List
// after the first entry.
const (
	Pass       Fault = iota // nothing
	FailBefore              // an error, and the store never saw the request
	FailAfter               // an error, though the store did what it was asked
	FailLate                // an error; the store does it later, if it still can then
	Hang                    // no answer until the context ends; never applied
)

// String is the fault in words.
func (f Fault) String() string {
	names := [...]string{"pass", "fail before", "fail after", "fail late", "hang"}
	if f >= 0 && int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("Fault(%d)", int(f))
}

// Decide says what happens to a request. For List key is the prefix. It may be
// called concurrently.
type Decide func(op Op, key string) Fault

// Rates are the probabilities of the faults of one request, each from 0 to 1; their
// sum is at most 1 and the rest passes. Hang needs callers whose contexts end.
type Rates struct {
	FailBefore, FailAfter, FailLate, Hang float64
}

// Seeded draws faults at the given rates. The n-th request with one verb and key
// meets the same fault in every run with the same seed, in whatever order requests
// to different keys come: goroutines do not disturb it.
func Seeded(seed uint64, rates Rates) Decide {
	type request struct {
		op  Op
		key string
	}
	var mu sync.Mutex
	counts := make(map[request]uint64)
	return func(op Op, key string) Fault {
		mu.Lock()
		n := counts[request{op, key}]
		counts[request{op, key}] = n + 1
		mu.Unlock()
		h := fnv.New64a()
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(op)))
		h.Write(binary.LittleEndian.AppendUint64(nil, n))
		h.Write([]byte(key))
		return rates.pick(rand.New(rand.NewPCG(seed, h.Sum64())).Float64())
	}
}

// Drawn draws faults from rng in the order of requests, for a simulator that runs
// one request at a time and draws everything from one source. It is not safe for
// concurrent use.
func Drawn(rng *rand.Rand, rates Rates) Decide {
	return func(Op, string) Fault { return rates.pick(rng.Float64()) }
}

// pick maps a draw from [0, 1) to a fault.
func (r Rates) pick(draw float64) Fault {
	for _, f := range []struct {
		fault Fault
		rate  float64
	}{{FailBefore, r.FailBefore}, {FailAfter, r.FailAfter}, {FailLate, r.FailLate}, {Hang, r.Hang}} {
		if draw < f.rate {
			return f.fault
		}
		draw -= f.rate
	}
	return Pass
}

// Only lets decide rule over the given verbs; others pass.
func Only(decide Decide, ops ...Op) Decide {
	return func(op Op, key string) Fault {
		for _, o := range ops {
			if o == op {
				return decide(op, key)
			}
		}
		return Pass
	}
}

// Script hands out the faults in order to the requests with the given verb and
// key; any other request, and any after the last fault, passes.
func Script(op Op, key string, faults ...Fault) Decide {
	var mu sync.Mutex
	return func(o Op, k string) Fault {
		mu.Lock()
		defer mu.Unlock()
		if o != op || k != key || len(faults) == 0 {
			return Pass
		}
		f := faults[0]
		faults = faults[1:]
		return f
	}
}
