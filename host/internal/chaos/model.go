package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
)

// phase is how far an instance has come. It only grows, and the last ones exclude each
// other.
type phase uint8

const (
	none phase = iota
	runs
	ended // how is not known yet
	completed
	terminated
)

// state is the sequential specification of one instance: a register that moves from
// unknown to running to one end and never back, and a counter that only grows.
type state struct {
	phase phase
	// opened and killed say that something was sent that lets it complete, or terminates
	// it. When that takes effect is the hub's affair; a client sees it by reading.
	opened, killed bool
	shown          int // the highest count that was shown
	sent           int // how many messages were sent at most
}

// alone says that instances of an orchestrator complete without an event.
func alone(name string) bool { return name != workload.GateName && name != workload.CounterName }

// modelOf is the specification for instances of one orchestrator.
func modelOf(name string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{opened: alone(name)} },
		Step: func(s, in, _ any) (bool, any) {
			o, _ := in.(op)
			was, _ := s.(state)
			return was.step(o)
		},
		DescribeOperation: func(in, _ any) string {
			o, _ := in.(op)
			if o.Count >= 0 {
				return fmt.Sprintf("%s: %s, count %d", o.Kind, o.Result, o.Count)
			}
			return o.Kind + ": " + o.Result
		},
		DescribeState: func(s any) string { return fmt.Sprintf("%+v", s) },
	}
}

// step reports whether o can be what happens next, and what is then.
func (s state) step(o op) (bool, state) {
	next := s
	switch o.Kind {
	case opStart:
		if s.phase == none {
			next.phase = runs
		}
		// One that may have been sent before is no news.
		return s.phase == none || o.Result == unknown, next
	case opRaise, opTerminate, opPromise:
		return s.change(o)
	case opRead:
		return s.read(o)
	}
	return false, s
}

func (s state) change(o op) (bool, state) {
	next := s
	if o.Kind == opTerminate {
		next.killed = true
	} else {
		next.opened = s.opened || o.Ends
		next.sent += o.Weight
	}
	switch o.Result {
	case unknown: // what it allows may never come; that does no harm
		return true, next
	case accepted:
		return s.phase == runs, next
	case gone:
		return s.end(ended)
	case absent:
		return s.phase == none, s
	}
	return false, s
}

// end is what a client knows who hears that the instance has ended, and how.
func (s state) end(how phase) (bool, state) {
	next := s
	switch s.phase {
	case none:
		return false, s
	case runs:
		next.phase = how
		may := how == completed && s.opened || how == terminated && s.killed || how == ended && (s.opened || s.killed)
		return may, next
	case ended:
		next.phase = max(how, ended)
		return how != completed && how != terminated || how == completed && s.opened || how == terminated && s.killed, next
	default:
		return how == ended || how == s.phase, s
	}
}

func (s state) read(o op) (bool, state) {
	next := s
	if o.Count >= 0 {
		if o.Count < s.shown || o.Count > s.sent {
			return false, s
		}
		next.shown = o.Count
	}
	switch o.Result {
	case absent:
		return s.phase == none, next
	case "Pending", "Running", "ContinuedAsNew":
		return s.phase == runs, next
	case "Completed":
		return next.end(completed)
	case "Terminated":
		return next.end(terminated)
	}
	return false, s // nothing else may happen to these instances
}

// checkTimeout bounds the search for one instance.
const checkTimeout = 20 * time.Second

// linearizable checks what clients saw of each instance, and reports how many histories
// it could check. A history that no order explains is drawn as a page in dir.
func linearizable(rec *recorder, ops []op, instances []*instance, dir string) (checked, undecided int) {
	of := map[string][]porcupine.Operation{}
	for _, o := range ops {
		of[o.ID] = append(of[o.ID], porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return})
	}
	for _, i := range instances {
		list := of[i.ID]
		if i.again || len(list) == 0 {
			continue // started anew, perhaps: everything may begin again
		}
		model := modelOf(i.Name)
		result, info := porcupine.CheckOperationsVerbose(model, list, checkTimeout)
		switch result {
		case porcupine.Ok:
			checked++
		case porcupine.Unknown:
			undecided++
		case porcupine.Illegal:
			checked++
			page := filepath.Join(dir, "illegal-"+i.ID+".html")
			if err := porcupine.VisualizePath(model, info, page); err != nil {
				page = err.Error()
			}
			text := filepath.Join(dir, "illegal-"+i.ID+".txt")
			if err := os.WriteFile(text, []byte(describe(list)), 0o644); err != nil {
				text = err.Error()
			}
			rec.problem("not linearizable", "%s %s: no order explains what clients saw; see %s and %s", i.Name, i.ID, filepath.Base(text), filepath.Base(page))
		}
	}
	return checked, undecided
}

// describe lists operations in the order of their calls, one a line.
func describe(list []porcupine.Operation) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	for _, p := range list {
		o, _ := p.Input.(op)
		end := "never"
		if o.Return != forever {
			end = fmt.Sprintf("%.3fs", time.Duration(o.Return).Seconds())
		}
		fmt.Fprintf(&text, "%9.3fs to %9s  client %d, host %d  %s: %s", time.Duration(o.Call).Seconds(), end, o.Client, o.Host, o.Kind, o.Result)
		if o.Count >= 0 {
			fmt.Fprintf(&text, ", count %d", o.Count)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// keep writes the operations of the clients to a file in dir.
func keep(dir string, ops []op) error {
	f, err := os.Create(filepath.Join(dir, "operations.jsonl"))
	if err != nil {
		return err
	}
	err = writeOps(f, ops)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
