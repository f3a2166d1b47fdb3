package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/faultproxy"
)

// report is what the run did and found. Times are nanoseconds since it began.
type report struct {
	Seed       uint64                  `json:"seed"`
	Duration   time.Duration           `json:"duration"` // of load and disturbances
	Took       time.Duration           `json:"took"`     // with the audit
	Keyed      bool                    `json:"keyed"`    // hosts honour request keys
	Findings   []finding               `json:"findings"`
	Instances  map[string]int          `json:"instances"`  // by orchestrator, acknowledged
	Read       int                     `json:"read"`       // by the audit
	Operations map[string]latency      `json:"operations"` // by kind and result
	Checked    int                     `json:"checked"`    // histories found linearizable or not
	Undecided  int                     `json:"undecided"`
	Silence    time.Duration           `json:"silence"` // the longest time without any answer to any client
	SilenceAt  time.Duration           `json:"silenceAt"`
	Requests   map[faultproxy.Kind]int `json:"requests"` // to the store, by fate
	Pauses     map[string]*impact      `json:"pauses"`   // by kind of disturbance
	Steps      []step                  `json:"steps"`
	Notes      map[string]int          `json:"notes"`
	Kept       string                  `json:"kept,omitempty"` // directory of the evidence
}

// latency tells how long operations took.
type latency struct {
	Count  int           `json:"count"`
	Median time.Duration `json:"median"`
	P99    time.Duration `json:"p99"`
	Max    time.Duration `json:"max"`
}

// latencies groups operations by kind and what came of them; reads are one group.
func latencies(ops []op) map[string]latency {
	groups := map[string][]time.Duration{}
	for _, o := range ops {
		key := o.Kind + " " + o.Result
		switch {
		case o.Kind == opPromise:
			continue
		case o.Kind == opRead:
			key = opRead
		case o.Return == forever:
			o.Return = o.Call
		}
		groups[key] = append(groups[key], time.Duration(o.Return-o.Call))
	}
	out := map[string]latency{}
	for key, list := range groups {
		slices.Sort(list)
		at := func(p int) time.Duration { return list[(len(list)-1)*p/100] }
		out[key] = latency{Count: len(list), Median: at(50), P99: at(99), Max: at(100)}
	}
	return out
}

// impact is what clients felt of one kind of disturbance. A request, and a time without
// answers, belong to the disturbance in which their middle falls.
type impact struct {
	Times   int           `json:"times"`
	Sent    int           `json:"sent"`
	Retried int           `json:"retried"` // that were sent more than once
	Slowest time.Duration `json:"slowest"`
	Silence time.Duration `json:"silence"` // the longest time without any answer to any client
}

// impacts tells which kind of disturbance hurts how much. Steps are in order.
func impacts(steps []step, ops []op) map[string]*impact {
	out := map[string]*impact{}
	var began []step
	for _, s := range steps {
		if s.Kind == "" {
			continue
		}
		began = append(began, s)
		if out[s.Kind] == nil {
			out[s.Kind] = &impact{}
		}
		out[s.Kind].Times++
	}
	of := func(at int64) *impact { // the disturbance at a time; nil before the first
		n, exact := slices.BinarySearchFunc(began, at, func(s step, at int64) int { return cmp.Compare(int64(s.At), at) })
		if !exact {
			n--
		}
		if n < 0 {
			return nil
		}
		return out[began[n].Kind]
	}
	var answers []int64
	for _, o := range ops {
		if o.Return == forever {
			continue
		}
		i := of(o.Call + (o.Return-o.Call)/2)
		if i == nil {
			continue
		}
		answers = append(answers, o.Return)
		i.Sent++
		i.Slowest = max(i.Slowest, time.Duration(o.Return-o.Call))
		if o.Attempts > 1 {
			i.Retried++
		}
	}
	slices.Sort(answers)
	for n := 1; n < len(answers); n++ {
		if i := of(answers[n-1] + (answers[n]-answers[n-1])/2); i != nil {
			i.Silence = max(i.Silence, time.Duration(answers[n]-answers[n-1]))
		}
	}
	return out
}

// fill takes over what the recorder and the fleet know.
func (r *report) fill(rec *recorder, f *fleet, ops []op) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	r.Findings, r.Steps, r.Notes = rec.findings, rec.steps, rec.notes
	r.Silence, r.SilenceAt, r.Pauses = rec.longest, rec.longestAt, impacts(rec.steps, ops)
	r.Operations, r.Requests, r.Instances = latencies(ops), map[faultproxy.Kind]int{}, map[string]int{}
	for _, i := range rec.instances {
		if i.isAcked() {
			r.Instances[i.Name]++
		}
	}
	for _, n := range f.nodes {
		for kind, count := range n.proxy.Counts() {
			r.Requests[kind] += count
		}
	}
}

// print writes the report for a person.
func (r *report) print(out io.Writer) error {
	fmt.Fprintf(out, "\nseed %d, %v of load and faults, %v in all; request keys honoured: %v\n", r.Seed, r.Duration, r.Took.Round(time.Second), r.Keyed)
	fmt.Fprintf(out, "%d things done to the hosts; requests to the store: %s\n", len(r.Steps), counts(r.Requests))
	fmt.Fprintf(out, "instances acknowledged: %s; %d read by the audit from two hosts\n", counts(r.Instances), r.Read)
	fmt.Fprintf(out, "client histories checked for linearizability: %d, undecided: %d\n", r.Checked, r.Undecided)
	fmt.Fprintf(out, "longest time without an answer to any client: %v, from %.1fs\n", r.Silence.Round(time.Millisecond), r.SilenceAt.Seconds())
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\noperation\tcount\tmedian\tp99\tmax\t")
	for _, key := range slices.Sorted(maps.Keys(r.Operations)) {
		l := r.Operations[key]
		fmt.Fprintf(w, "%s\t%d\t%v\t%v\t%v\t\n", key, l.Count, l.Median.Round(time.Millisecond), l.P99.Round(time.Millisecond), l.Max.Round(time.Millisecond))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ndisturbance\ttimes\trequests\tsent again\tslowest\tno answer to anybody\t")
	for _, kind := range slices.Sorted(maps.Keys(r.Pauses)) {
		i := r.Pauses[kind]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t%v\t\n", kind, i.Times, i.Sent, i.Retried, i.Slowest.Round(time.Millisecond), i.Silence.Round(time.Millisecond))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(r.Notes)) {
		fmt.Fprintf(out, "note: %s: %d\n", key, r.Notes[key])
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(out, "\nnothing is lost, nothing happened twice, nothing is stuck")
		return nil
	}
	fmt.Fprintf(out, "\n%d FINDINGS\n", len(r.Findings))
	for _, f := range r.Findings[:min(len(r.Findings), mostPrinted)] {
		fmt.Fprintf(out, "  %.1fs %s: %s\n", f.At.Seconds(), f.Kind, f.Text)
	}
	fmt.Fprintf(out, "evidence: %s\n", r.Kept)
	return nil
}

// mostPrinted findings are printed; the JSON has all.
const mostPrinted = 50

func counts[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}

// write writes the report as JSON.
func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
