package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// programs are the orchestrators: pure functions of what their execution knows. Each
// has an answer that can be computed beside it.
var programs = map[string]func(r *replay){
	"Sum":     sum,
	"Steps":   steps,
	"Tree":    tree,
	"Counter": counter,
	"Timers":  timers,
	"Race":    race,
	"Relay":   relay,
	"Hold":    hold,
	"Pass":    pass,
	"Spawn":   spawn,
	"Echo":    func(r *replay) { r.complete(r.input) },
}

// functions are what function apps can have: the programs and the activities that they
// call.
var functions = func() (list []work.Function) {
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		list = append(list, work.Function{Kind: work.Orchestrator, Name: name})
	}
	for _, name := range []string{"Fail", "Square"} {
		list = append(list, work.Function{Kind: work.ActivityFunction, Name: name})
	}
	return list
}()

// activityResult is what the activities answer.
func activityResult(a *work.Item) (result string, failure *history.TaskFailureDetails) {
	n, err := strconv.Atoi(*a.Activity.Input)
	if err != nil || a.Name == "Fail" {
		return "", &history.TaskFailureDetails{ErrorType: "Scripted", ErrorMessage: fmt.Sprintf("failed with %s", *a.Activity.Input)}
	}
	return strconv.Itoa(n * n), nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("%q is no number", s))
	}
	return n
}

// sum adds the squares of 0 to n-1, fanned out.
func sum(r *replay) {
	total, open := 0, false
	for i := range number(r.input) {
		if t := r.activity("Square", i); t.done {
			total += number(t.result)
		} else {
			open = true
		}
	}
	if !open {
		r.complete(strconv.Itoa(total))
	}
}

func expectSum(n int) string {
	total := 0
	for i := range n {
		total += i * i
	}
	return strconv.Itoa(total)
}

// steps does the same one after another, and lets every third step fail.
func steps(r *replay) {
	total := 0
	for i := range number(r.input) {
		name := "Square"
		if i%3 == 2 {
			name = "Fail"
		}
		t := r.activity(name, i)
		if !t.done {
			return
		}
		if t.failed {
			total += 1000
			continue
		}
		total += number(t.result)
	}
	r.complete(strconv.Itoa(total))
}

func expectSteps(n int) string {
	total := 0
	for i := range n {
		if i%3 == 2 {
			total += 1000
		} else {
			total += i * i
		}
	}
	return strconv.Itoa(total)
}

// treeInput says what a tree looks like: depth, width, whether children get explicit
// ids (and so fall into other partitions), and the number of this node.
type treeInput struct {
	Depth, Width, Node int
	Explicit           bool
}

// tree sums its children; a leaf is worth 1, a failing child 100, and a node that can
// be divided by 7 fails when it is done.
func tree(r *replay) {
	var in treeInput
	if err := json.Unmarshal([]byte(r.input), &in); err != nil {
		panic(err)
	}
	total, open := 1, false
	if in.Depth > 0 {
		total = 0
		for k := range in.Width {
			sub := in
			sub.Depth, sub.Node = in.Depth-1, in.Node*in.Width+k+1
			id := ""
			if in.Explicit {
				id = fmt.Sprintf("%s.%d", r.instance, k)
			}
			switch t := r.child("Tree", id, encode(sub)); {
			case !t.done:
				open = true
			case t.failed:
				total += 100
			default:
				total += number(t.result)
			}
		}
	}
	if open {
		return
	}
	if in.Node > 0 && in.Node%7 == 0 {
		r.failed("node " + strconv.Itoa(in.Node))
		return
	}
	r.complete(strconv.Itoa(total))
}

func expectTree(in treeInput) (total int, fails bool) {
	total = 1
	if in.Depth > 0 {
		total = 0
		for k := range in.Width {
			sub := in
			sub.Depth, sub.Node = in.Depth-1, in.Node*in.Width+k+1
			if n, failed := expectTree(sub); failed {
				total += 100
			} else {
				total += n
			}
		}
	}
	return total, in.Node > 0 && in.Node%7 == 0
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	return string(b)
}

// counterState is a counter's input: what it has seen, and at how many events it ends
// (0: at the event "stop").
type counterState struct {
	Goal int
	Seen []int
}

// perExecution is after how many events a counter continues as new.
const perExecution = 3

// counter collects the payloads of the events raised to it.
func counter(r *replay) {
	var state counterState
	if err := json.Unmarshal([]byte(r.input), &state); err != nil {
		panic(err)
	}
	taken := 0
	for _, data := range r.raised {
		if state.Goal > 0 && len(state.Seen) >= state.Goal {
			break
		}
		if taken == perExecution {
			r.continueAsNew(encode(state), taken)
			return
		}
		state.Seen = append(state.Seen, number(data))
		taken++
	}
	if state.Goal > 0 && len(state.Seen) >= state.Goal || state.Goal == 0 && r.stops > 0 {
		slices.Sort(state.Seen)
		r.complete(encode(state.Seen))
	}
}

// timers waits for several timers, given in milliseconds, and counts them.
func timers(r *replay) {
	var delays []int
	if err := json.Unmarshal([]byte(r.input), &delays); err != nil {
		panic(err)
	}
	fired := 0
	for _, ms := range delays {
		if r.timer(time.Duration(ms) * time.Millisecond).done {
			fired++
		}
	}
	if fired == len(delays) {
		r.complete(strconv.Itoa(fired))
	}
}

// race lets activities run against timers, cancels the losers and says who won.
func race(r *replay) {
	wins := 0
	for i := range number(r.input) {
		t, a := r.timer(time.Duration(i+1)*20*time.Millisecond), r.activity("Square", i)
		switch {
		case a.done && (!t.done || a.order < t.order):
			r.cancel(t)
			wins++
		case t.done:
		default:
			return
		}
	}
	r.complete(strconv.Itoa(wins))
}

// relayInput says to whom a relay sends which events.
type relayInput struct {
	Target string
	From   int
	Count  int
}

// relay sends events to another instance, some before and some after an activity.
func relay(r *replay) {
	var in relayInput
	if err := json.Unmarshal([]byte(r.input), &in); err != nil {
		panic(err)
	}
	half := in.Count / 2
	for i := range half {
		r.send(in.Target, strconv.Itoa(in.From+i))
	}
	if !r.activity("Square", in.From).done {
		return
	}
	for i := half; i < in.Count; i++ {
		r.send(in.Target, strconv.Itoa(in.From+i))
	}
	r.complete(strconv.Itoa(in.Count))
}

// pass hands its input to a child in whatever partition, and gets it back. The input is
// so big that only a reference to it travels.
func pass(r *replay) {
	t := r.child("Echo", r.instance+".echo", r.input)
	if t.failed {
		r.failed(t.result)
	} else if t.done {
		r.complete(t.result)
	}
}

// spawn starts a child that goes on alone.
func spawn(r *replay) {
	r.spawn("Sum", r.instance+".child", r.input)
	r.complete(`"gone"`)
}

// hold starts as many children of its kind as its input says, with one fewer each,
// and waits for "stop", or for a day.
func hold(r *replay) {
	n, open := number(r.input), false
	for k := range n {
		if !r.child("Hold", fmt.Sprintf("%s.%d", r.instance, k), strconv.Itoa(n-1)).done {
			open = true
		}
	}
	t := r.timer(24 * time.Hour)
	if r.stops > 0 || t.done || n > 0 && !open {
		r.cancel(t)
		r.complete(`"released"`)
	}
}
