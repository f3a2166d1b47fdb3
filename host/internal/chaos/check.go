package main

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// left says that nobody let the instance end, since nobody knew that it is there.
func (i *instance) left() bool { return !i.isAcked() && i.want == "" }

// check compares one instance with what was acknowledged.
func (a *auditor) check(i *instance, body []byte) {
	if body == nil {
		if i.isAcked() {
			a.rec.problem("lost start", "%s %s was acknowledged and is not there", i.Name, i.ID)
		}
		return
	}
	s := &api.Instance{}
	if err := json.Unmarshal(body, s); err != nil {
		a.rec.problem("unreadable", "%s: %v: %s", i.ID, err, clip(body))
		return
	}
	i.seen(a.rec, s)
	switch {
	case !s.Status.Terminal() && i.left():
		return
	case !s.Status.Terminal():
		a.rec.problem("stuck", "%s %s is %s after all has been quiet: %s", i.Name, i.ID, s.Status, clip(body))
		return
	case s.Status == api.StatusTerminated && i.killed:
		return
	case s.Status != api.StatusCompleted:
		a.rec.problem("wrong end", "%s %s ended as %s: %s", i.Name, i.ID, s.Status, clip(s.Output))
		return
	}
	switch {
	case i.want != "":
		if !sameJSON(i.want, s.Output) {
			a.rec.problem("wrong output", "%s %s has %s, want %s", i.Name, i.ID, clip(s.Output), i.want)
		}
	case i.messages != nil:
		a.checkCounter(i, s)
	case i.Name == workload.GateName && string(s.Output) != asJSON(workload.Passed):
		a.rec.problem("wrong output", "%s has %s, and nobody sent that", i.ID, clip(s.Output))
	}
	a.checkHistory(i, s)
}

func sameJSON(want string, got json.RawMessage) bool {
	var compact bytes.Buffer
	return json.Compact(&compact, got) == nil && compact.String() == want
}

// checkHistory: one start, which comes first, one end, which comes last, and one outcome
// for each activity.
func (a *auditor) checkHistory(i *instance, s *api.Instance) {
	starts, ends, tasks := 0, 0, 0
	for n, e := range s.History {
		switch e.EventType {
		case "ExecutionStarted":
			starts++
		case "ExecutionCompleted":
			if ends++; n != len(s.History)-1 {
				ends++ // as wrong as a second one
			}
		case "TaskCompleted", "TaskFailed":
			tasks++
		case "TaskScheduled", "SubOrchestrationInstanceCreated":
			tasks = -len(s.History) // a call without its outcome: it is awaited, so there must be one
		}
	}
	if starts != 1 || ends != 1 || i.tasks >= 0 && tasks != i.tasks {
		a.rec.problem("wrong history", "%s %s: %d starts, %d ends, outcomes of %d activities, want 1, 1, %d: %v", i.Name, i.ID, starts, ends, tasks, i.tasks, typesOf(s.History))
	}
}

func typesOf(events []api.Event) []string {
	var types []string
	for _, e := range events {
		types = append(types, e.EventType)
	}
	return types
}

// checkCounter: every acknowledged message is there once, no message is there that was
// not sent, and all that clients were shown on the way is a beginning of the end.
func (a *auditor) checkCounter(i *instance, s *api.Instance) {
	var out workload.Counter
	if err := json.Unmarshal(s.Output, &out); err != nil {
		a.rec.problem("wrong output", "%s: %v: %s", i.ID, err, clip(s.Output))
		return
	}
	times := map[string]int{}
	for _, id := range out.Seen {
		times[id]++
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, n := range times {
		switch m := i.messages[id]; {
		case m == nil:
			a.rec.problem("message from nowhere", "%s has seen %s, which nobody sent", i.ID, id)
		case n > m.most:
			a.rec.problem("message repeated", "%s has seen %s %d times, and it was sent %d times", i.ID, id, n, m.most)
		}
	}
	for id, m := range i.messages {
		if m.acked && times[id] == 0 {
			a.rec.problem("lost event", "%s has not seen %s, which was acknowledged: %v", i.ID, id, out.Seen)
		}
	}
	if i.again {
		return
	}
	for _, o := range a.rec.of(i.ID) {
		if o.Count < 0 {
			continue
		}
		if o.Count > len(out.Seen) || workload.Show(out.Seen[:o.Count]).Digest != o.Digest {
			a.rec.problem("conflicting histories", "%s: host %d showed a client at %.3fs a state of %d messages that is no beginning of the end: %v",
				i.ID, o.Host, time.Duration(o.Return).Seconds(), o.Count, out.Seen)
		}
	}
}
