package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// What clients do to an instance.
const (
	opStart     = "start"
	opRead      = "read"
	opRaise     = "raise"
	opTerminate = "terminate"
	opPromise   = "promise" // from now on others may send messages to it
)

// What hosts answer, beside the status that a read shows.
const (
	accepted = "accepted"
	gone     = "gone"    // it has ended
	absent   = "absent"  // there is no such instance
	unknown  = "unknown" // no answer that tells: it may take effect at any later time
)

// forever is when an operation without an answer ends.
const forever = math.MaxInt64

// op is one operation of a client. Times are nanoseconds since the run began.
type op struct {
	Client int    `json:"client"`
	Host   int    `json:"host"` // that answered
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Result string `json:"result"`
	// Attempts is how often the request was sent.
	Attempts int `json:"attempts"`
	// Ends says of a raise that its event lets the instance complete.
	Ends bool `json:"ends,omitempty"`
	// Weight is how many messages a raise or a promise may add to a counter at most.
	Weight int `json:"weight,omitempty"`
	// Count and Digest are what a counter showed; Count is -1 when it showed nothing.
	Count  int    `json:"count"`
	Digest string `json:"digest,omitempty"`
}

// finding is something that must not be.
type finding struct {
	At   time.Duration `json:"at"`
	Kind string        `json:"kind"`
	Text string        `json:"text"`
}

// recorder gathers what happens. Its methods may be called concurrently.
type recorder struct {
	began time.Time
	out   io.Writer // progress lines

	mu        sync.Mutex
	ops       []op
	byID      map[string][]op // of ops; made when it is asked for, after the last one
	findings  []finding
	notes     map[string]int
	steps     []step
	instances []*instance
	lastAck   time.Duration
	longest   time.Duration // between two answers to any client
	longestAt time.Duration
}

// step is one thing that was done to the hosts or their store.
type step struct {
	At   time.Duration `json:"at"`
	Kind string        `json:"kind"` // of disturbance; empty for a part of the one before
	What string        `json:"what"`
}

func newRecorder(out io.Writer) *recorder {
	return &recorder{began: time.Now(), out: out, notes: map[string]int{}, findings: []finding{}}
}

func (r *recorder) now() time.Duration { return time.Since(r.began) }

// add records an operation.
func (r *recorder) add(o op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	if o.Return != forever {
		at := time.Duration(o.Return)
		if quiet := at - r.lastAck; r.lastAck > 0 && quiet > r.longest { // hosts start before the first
			r.longest, r.longestAt = quiet, r.lastAck
		}
		r.lastAck = max(r.lastAck, at)
	}
}

// sayf prints a progress line.
func (r *recorder) sayf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%7.1fs  %s\n", r.now().Seconds(), fmt.Sprintf(format, args...))
}

// did records what is done to the hosts, and prints it. kind is that of a disturbance
// that begins.
func (r *recorder) did(kind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.steps = append(r.steps, step{At: r.now(), Kind: kind, What: text})
	r.mu.Unlock()
	r.sayf("%s", text)
}

// problem records a finding, and prints it.
func (r *recorder) problem(kind, format string, args ...any) {
	f := finding{At: r.now(), Kind: kind, Text: fmt.Sprintf(format, args...)}
	r.mu.Lock()
	r.findings = append(r.findings, f)
	r.mu.Unlock()
	r.sayf("FINDING %s: %s", f.Kind, f.Text)
}

// note counts something that is worth a line in the report and no finding.
func (r *recorder) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[what]++
}

// register makes an instance known to the audit.
func (r *recorder) register(i *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instances = append(r.instances, i)
}

func (r *recorder) found() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.findings)
}

// all is a copy of the operations.
func (r *recorder) all() []op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}

// recent is the id of one of the instances that were last made known; empty: none is.
// n decides which.
func (r *recorder) recent(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.instances[max(0, len(r.instances)-lookAt):]
	if len(last) == 0 {
		return ""
	}
	return last[n%len(last)].ID
}

// lookAt is how many instances watchers look at: about those that are at work.
const lookAt = 24

// of is the operations on one instance.
func (r *recorder) of(id string) []op {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string][]op{}
		for _, o := range r.ops {
			r.byID[o.ID] = append(r.byID[o.ID], o)
		}
	}
	return r.byID[id]
}

// registered is a copy of the list of instances.
func (r *recorder) registered() []*instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.instances)
}

// writeOps writes the operations, one JSON object a line.
func writeOps(w io.Writer, ops []op) error {
	enc := json.NewEncoder(w)
	for _, o := range ops {
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	return nil
}
