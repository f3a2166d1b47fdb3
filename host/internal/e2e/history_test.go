package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/work"
)

// sighting is what was last seen of an instance over HTTP: committed state, so that
// nothing of it may ever be taken back.
type sighting struct {
	facts    []string // events in order, without the calls
	calls    []string // calls, pending ones and those whose outcome is there
	terminal string   // status, once it has ended
	output   string
}

// next compares s with what was seen before and remembers it.
func (last *sighting) next(s *client.Instance) error {
	now := sighting{}
	for _, e := range s.History {
		// showHistory folds a call into its outcome, so calls leave their place.
		switch e.EventType {
		case "TaskScheduled", "SubOrchestrationInstanceCreated":
			now.calls = append(now.calls, call(e.Name, e.Timestamp))
			continue
		}
		if !e.ScheduledTime.IsZero() {
			now.calls = append(now.calls, call(e.FunctionName, e.ScheduledTime))
		}
		now.facts = append(now.facts, fmt.Sprintf("%s %s%s at %s", e.EventType, e.FunctionName, e.Name, e.Timestamp.Format(time.RFC3339Nano)))
	}
	if s.Status.Terminal() {
		now.terminal, now.output = string(s.Status), string(s.Output)
	}
	// Status and history are read one after the other: the status may be the older one.
	switch {
	case len(now.facts) < len(last.facts) || !slices.Equal(now.facts[:len(last.facts)], last.facts):
		return fmt.Errorf("history of %s was rewritten:\nbefore: %s\nnow:    %s", s.ID, strings.Join(last.facts, "\n        "),
			strings.Join(now.facts, "\n        "))
	case last.terminal != "" && (now.terminal != last.terminal || now.output != last.output):
		return fmt.Errorf("%s had ended as %s with %s, and is now %s with %s", s.ID, last.terminal, last.output,
			s.Status, s.Output)
	}
	for _, c := range last.calls {
		if !slices.Contains(now.calls, c) {
			return fmt.Errorf("history of %s has lost the call %s; it has %v", s.ID, c, now.calls)
		}
	}
	*last = now
	return nil
}

func call(name string, at time.Time) string { return name + " of " + at.Format(time.RFC3339Nano) }

// audit opens the hub when all hosts have stopped and checks every event of every
// instance. It returns how many instances there are.
func audit(t *testing.T, s hosttest.Store, r *hosttest.Root) int {
	t.Helper()
	opener, err := checkpoint.NewPebble(t.TempDir(), 4*checkpoint.StateMemory)
	must(t, err)
	hub, err := taskhub.Open(t.Context(), taskhub.Options{
		Name: hosttest.HubName, Store: s.Open(t, r), Partitions: 1, Opener: opener, Exec: idle{}, Sched: sched.Real(),
		Log: hclog.NewNullLogger(), Lease: 5 * time.Second, Settings: taskhub.Settings{MaxPayload: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := hub.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	}()
	count := 0
	for token := ""; ; {
		page, err := hub.List(t.Context(), taskhub.Query{Top: 1000, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, inst := range page.Instances {
			events, err := hub.History(t.Context(), inst.ID)
			if err == nil {
				err = consistent(events)
			}
			if err == nil && inst.Status != history.Completed {
				err = fmt.Errorf("it is %s", history.StatusName(inst.Status))
			}
			if err != nil {
				t.Errorf("%s: %v", inst.ID, err)
			}
		}
		count += len(page.Instances)
		if token = page.Token; token == "" {
			return count
		}
	}
}

// idle is an executor for a hub in which nothing is left to do.
type idle struct{}

// Submit implements work.Executor.
func (idle) Submit(work.Batch, func([]*work.Result)) {}

// consistent checks the history of a finished execution: one start, which comes first,
// one end, which comes last, and for each call one outcome, after it.
func consistent(events []*history.HistoryEvent) error {
	calls, outcomes := map[int32]string{}, map[int32]string{}
	starts, ends := 0, 0
	for n, e := range events {
		var of int32
		switch k := e.EventType.(type) {
		case *history.HistoryEvent_ExecutionStarted:
			starts++
			continue
		case *history.HistoryEvent_ExecutionCompleted:
			if ends++; n != len(events)-1 {
				return fmt.Errorf("event %d of %d ends the execution", n, len(events))
			}
			continue
		case *history.HistoryEvent_TaskScheduled, *history.HistoryEvent_SubOrchestrationInstanceCreated, *history.HistoryEvent_TimerCreated:
			if calls[e.EventId] != "" {
				return fmt.Errorf("call %d is there twice: %s and %v", e.EventId, calls[e.EventId], e)
			}
			calls[e.EventId] = e.String()
			continue
		case *history.HistoryEvent_TaskCompleted:
			of = k.TaskCompleted.TaskScheduledId
		case *history.HistoryEvent_TaskFailed:
			of = k.TaskFailed.TaskScheduledId
		case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
			of = k.SubOrchestrationInstanceCompleted.TaskScheduledId
		case *history.HistoryEvent_SubOrchestrationInstanceFailed:
			of = k.SubOrchestrationInstanceFailed.TaskScheduledId
		case *history.HistoryEvent_TimerFired:
			of = k.TimerFired.TimerId
		default:
			continue
		}
		if calls[of] == "" {
			return fmt.Errorf("%v is the outcome of no call before it", e)
		}
		if outcomes[of] != "" {
			return fmt.Errorf("call %d has two outcomes: %s and %v", of, outcomes[of], e)
		}
		outcomes[of] = e.String()
	}
	if starts != 1 || ends != 1 || len(events) < 2 {
		return fmt.Errorf("%d starts and %d ends in %d events", starts, ends, len(events))
	}
	return nil
}
