package core

import (
	"fmt"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// Audit is what a reading of a partition's whole state found.
type Audit struct {
	Instances int      // rows
	Live      int      // of them, not ended
	Events    uint64   // in histories
	Requests  int      // of clients, whose answers are kept
	Payloads  []string // payload objects that instances refer to
	Problems  []string // contradictions, in words that name the instance
}

// AuditState reads all of a partition's state and checks that rows, indexes, histories
// and open tasks agree (E§C12, 14 to 16). The error is one of reading.
func AuditState(r kv.Reader) (*Audit, error) {
	a := &Audit{}
	seen := map[string]bool{}
	err := Each(r, 0, func(v *View) (bool, error) {
		a.Instances++
		return true, a.instance(r, v)
	})
	if err != nil {
		return nil, err
	}
	for e, err := range r.Scan([]byte{keyID}, []byte{keyID + 1}) {
		if err != nil {
			return nil, err
		}
		id := string(e.Key[1:])
		v, err := Lookup(r, id)
		if err != nil {
			return nil, err
		}
		if v == nil || v.Row.Id != id {
			a.problem("%q: the id index points to no instance of that id", id)
		}
	}
	for e, err := range r.Scan([]byte{keyPayload}, []byte{keyPayload + 1}) {
		if err != nil {
			return nil, err
		}
		if name, _ := payloadOfKey(e.Key); !seen[name] {
			seen[name] = true
			a.Payloads = append(a.Payloads, name)
		}
	}
	if err := a.requests(r); err != nil {
		return nil, err
	}
	return a, nil
}

// requests checks that rows of requests can be read and will be forgotten.
func (a *Audit) requests(r kv.Reader) error {
	var meta Meta
	if v, err := r.Get([]byte{keyMeta}); err != nil {
		return err
	} else if err := meta.UnmarshalVT(v); err != nil {
		a.problem("the partition's counters cannot be read: %v", err)
		return nil
	}
	for e, err := range r.Scan([]byte{keyRequest}, []byte{keyRequest + 1}) {
		if err != nil {
			return err
		}
		a.Requests++
		if len(e.Key) < 1+8 {
			a.problem("key %q of a request is too short", e.Key)
			continue
		}
		span, id := requestOfKey(e.Key)
		if meta.RequestsFrom == 0 || span < meta.RequestsFrom || span > meta.RequestsTo {
			a.problem("request %q: its row is in span %d, rows are kept from %d to %d", id, span, meta.RequestsFrom, meta.RequestsTo)
		}
		if err := new(RequestRow).UnmarshalVT(e.Value); err != nil {
			a.problem("request %q: %v", id, err)
		}
	}
	return nil
}

func (a *Audit) problem(format string, args ...any) {
	a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
}

func (a *Audit) instance(r kv.Reader, v *View) error {
	row := &v.Row
	if index, err := Lookup(r, row.Id); err != nil {
		return err
	} else if index == nil || index.Number != v.Number {
		a.problem("%q: instance %d is not what the id index points to", row.Id, v.Number)
	}
	events, err := v.History(r)
	if err != nil {
		return err
	}
	a.Events += uint64(len(events))
	if uint64(len(events)) != row.Position {
		a.problem("%q: history has %d events, its row says %d", row.Id, len(events), row.Position)
	}
	a.history(row.Id, events)
	open := 0
	for _, err := range r.Scan(numKey(keyTask, v.Number), numKey(keyTask, v.Number+1)) {
		if err != nil {
			return err
		}
		open++
	}
	waiting := 0
	for _, err := range r.Scan(numKey(keyInbox, v.Number), numKey(keyInbox, v.Number+1)) {
		if err != nil {
			return err
		}
		waiting++
	}
	if history.IsTerminal(row.Status) {
		if open+waiting > 0 {
			a.problem("%q: it is %s and has %d open tasks and %d events waiting", row.Id, history.StatusName(row.Status), open, waiting)
		}
		return nil
	}
	a.Live++
	if row.Position == 0 && waiting == 0 {
		a.problem("%q: it has not begun and nothing will start it", row.Id)
	}
	return nil
}

// history checks that each completion follows its schedule, once.
func (a *Audit) history(id string, events []*history.HistoryEvent) {
	scheduled := map[int32]bool{}
	for n, e := range events {
		var task int32
		switch k := e.EventType.(type) {
		case *history.HistoryEvent_TaskScheduled, *history.HistoryEvent_SubOrchestrationInstanceCreated, *history.HistoryEvent_TimerCreated:
			scheduled[e.EventId] = true
			continue
		case *history.HistoryEvent_TaskCompleted:
			task = k.TaskCompleted.TaskScheduledId
		case *history.HistoryEvent_TaskFailed:
			task = k.TaskFailed.TaskScheduledId
		case *history.HistoryEvent_SubOrchestrationInstanceCompleted:
			task = k.SubOrchestrationInstanceCompleted.TaskScheduledId
		case *history.HistoryEvent_SubOrchestrationInstanceFailed:
			task = k.SubOrchestrationInstanceFailed.TaskScheduledId
		case *history.HistoryEvent_TimerFired:
			task = k.TimerFired.TimerId
		default:
			continue
		}
		if !scheduled[task] {
			a.problem("%q: event %d ends task %d, which is not open there", id, n, task)
		}
		delete(scheduled, task)
	}
}
