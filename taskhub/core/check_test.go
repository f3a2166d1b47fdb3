package core_test

import (
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
)

// audit checks what is true of every partition at rest (E§C12, 10 to 16).
func (r *rig) audit() {
	r.Helper()
	for _, n := range r.nodes {
		a, err := core.AuditState(n.db)
		if err != nil {
			r.Fatal(err)
		}
		for _, p := range a.Problems {
			r.Errorf("partition %d: %s", n.index, p)
		}
		if err := core.Each(n.db, 0, func(v *core.View) (bool, error) { return true, r.history(n, v) }); err != nil {
			r.Fatal(err)
		}
	}
}

// history checks the history of one instance's present execution.
func (r *rig) history(n *node, v *core.View) error {
	r.Helper()
	events, err := v.History(n.db)
	if err != nil {
		return err
	}
	bad := func(format string, args ...any) {
		r.Helper()
		r.Errorf("%q: "+format+"\n%v", append(append([]any{v.Row.Id}, args...), sigs(events))...)
	}
	if uint64(len(events)) != v.Row.Position {
		bad("%d events at position %d", len(events), v.Row.Position)
	}
	scheduled, ended := map[int32]bool{}, map[int32]bool{}
	depth, last := 0, int64(0)
	for at, e := range events {
		if at == len(events)-1 != (e.GetExecutionCompleted() != nil) && (e.GetExecutionCompleted() != nil || history.IsTerminal(v.Row.Status)) {
			bad("event %d is not where it should be", at)
		}
		switch e.EventType.(type) {
		case *history.HistoryEvent_OrchestratorStarted:
			if depth++; e.Timestamp.AsTime().UnixNano() < last {
				bad("time runs backwards at event %d", at)
			}
			last = e.Timestamp.AsTime().UnixNano()
		case *history.HistoryEvent_OrchestratorCompleted:
			depth--
		case *history.HistoryEvent_TaskScheduled, *history.HistoryEvent_SubOrchestrationInstanceCreated, *history.HistoryEvent_TimerCreated:
			if scheduled[e.EventId] {
				bad("task %d was scheduled twice", e.EventId)
			}
			scheduled[e.EventId] = true
		}
		if depth < 0 || depth > 1 {
			bad("episodes do not follow each other at event %d", at)
		}
		if task, ok := completes(e); ok {
			if !scheduled[task] || ended[task] {
				bad("task %d ended at event %d: scheduled %v, ended before %v", task, at, scheduled[task], ended[task])
			}
			ended[task] = true
			if fired := e.GetTimerFired(); fired != nil && fired.FireAt.AsTime().After(e.Timestamp.AsTime()) {
				bad("timer %d fired before its time", task)
			}
		}
	}
	return nil
}

// row is the committed row of an instance, nil if there is none.
func (r *rig) row(id string) *core.InstanceRow {
	r.Helper()
	v, err := core.Lookup(r.of(id).db, id)
	if err != nil {
		r.Fatal(err)
	}
	if v == nil {
		return nil
	}
	return &v.Row
}

// events is the committed history of an instance.
func (r *rig) events(id string) []*history.HistoryEvent {
	r.Helper()
	v, err := core.Lookup(r.of(id).db, id)
	if err != nil || v == nil {
		r.Fatalf("%q: %v, %v", id, v, err)
	}
	events, err := v.History(r.of(id).db)
	if err != nil {
		r.Fatal(err)
	}
	return events
}

// wants checks status and output of an instance; "" stands for none.
func (r *rig) wants(id string, status history.Status, output string) {
	r.Helper()
	row := r.row(id)
	if row == nil {
		r.Errorf("%q: there is none, want %s", id, history.StatusName(status))
		return
	}
	got := row.GetOutput()
	if row.Failure != nil {
		got = row.Failure.ErrorType + ": " + row.Failure.ErrorMessage
	}
	if row.Status != status || got != output {
		r.Errorf("%q: %s %s, want %s %s", id, history.StatusName(row.Status), got, history.StatusName(status), output)
	}
}

// start starts an instance and runs to rest.
func (r *rig) start(id, name, input string, more ...func(*core.Start)) error {
	r.Helper()
	return r.ask(id, starting(id, name, input, more...))
}

func starting(id, name, input string, more ...func(*core.Start)) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) {
		s := &core.Start{ID: id, Name: name, Input: &input, Execution: core.ExecutionID("test", id),
			Reply: func(_ bool, err error) { reply(err) }}
		for _, m := range more {
			m(s)
		}
		c.Start(now, s)
	}
}

func (r *rig) raise(id, name, data string) error {
	r.Helper()
	return r.ask(id, func(c *core.Core, now int64, reply func(error)) { c.Raise(now, id, name, &data, reply) })
}

func (r *rig) terminate(id, reason string, recurse bool) error {
	r.Helper()
	return r.ask(id, func(c *core.Core, now int64, reply func(error)) { c.Terminate(now, id, reason, recurse, reply) })
}

func (r *rig) suspend(id string) error {
	r.Helper()
	return r.ask(id, func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, id, "hold on", reply) })
}

func (r *rig) resume(id string) error {
	r.Helper()
	return r.ask(id, func(c *core.Core, now int64, reply func(error)) { c.Resume(now, id, "go on", reply) })
}

func (r *rig) purge(id string) error {
	r.Helper()
	return r.ask(id, func(c *core.Core, now int64, reply func(error)) { c.Purge(now, id, reply) })
}
