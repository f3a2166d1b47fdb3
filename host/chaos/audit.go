package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/durafunc/durafunc/host/chaos/workload"
	"github.com/durafunc/durafunc/host/hosttest"
)

// auditor reads everything twice from different hosts when all is quiet, and compares it
// with what was acknowledged.
type auditor struct {
	fleet *fleet
	rec   *recorder
}

// Limits of the audit.
const (
	auditReaders = 4
	answerWithin = 20 * time.Second
	pageSize     = 1000
	tokenHeader  = "x-ms-continuation-token"
)

// run returns how many instances it has read.
func (a *auditor) run(ctx context.Context, instances []*instance) (int, error) {
	a.rec.sayf("audit: %d instances", len(instances))
	first, err := a.serving(ctx, nil)
	if err != nil {
		return 0, err
	}
	before := a.readAll(ctx, first, instances)
	for _, i := range instances {
		a.check(i, before[i.ID])
	}
	if err := a.listed(ctx, first, instances); err != nil {
		return 0, err
	}
	// The second reader cannot ask the first one. Where one host owns all, it takes over.
	if err := first.stop(); err != nil {
		a.rec.problem("bad stop", "%v", err)
	}
	second, err := a.serving(ctx, first)
	if err != nil {
		return 0, err
	}
	after := a.readAll(ctx, second, instances)
	for _, i := range instances {
		if !bytes.Equal(before[i.ID], after[i.ID]) {
			a.rec.problem("conflicting histories", "%s: host %d shows\n%s\nand host %d shows\n%s", i.ID, first.n, before[i.ID], second.n, after[i.ID])
		}
	}
	err = a.fleet.each((*node).stop)
	if err != nil {
		a.rec.problem("bad stop", "%v", err)
	}
	if err := a.fleet.verify(ctx); err != nil {
		a.rec.problem("hub verify", "%v", err)
	}
	return len(before), nil
}

// serving is a host other than not that answers for every partition.
func (a *auditor) serving(ctx context.Context, not *node) (*node, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		for _, n := range a.fleet.nodes {
			if n != not && a.list(ctx, n, new(string), func(*hosttest.Status) {}) == nil {
				a.rec.sayf("audit: host %d answers", n.n)
				return n, nil
			}
		}
		if !pause(ctx, time.Second) {
			return nil, fmt.Errorf("no host answers for all partitions: %w", context.Cause(ctx))
		}
	}
}

// get asks one host, again while it is unavailable.
func get(ctx context.Context, n *node, path string) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		r := &reply{}
		err := r.attempt(ctx, http.MethodGet, n.url+path, nil, nil)
		if err == nil && r.code != http.StatusServiceUnavailable {
			return r, nil
		}
		if !pause(ctx, retryPause) {
			return nil, fmt.Errorf("host %d, %s: %d %s %w", n.n, path, r.code, clip(r.body), orNone(err))
		}
	}
}

// readAll reads instances with their histories from one host; nil for those that are not
// there.
func (a *auditor) readAll(ctx context.Context, n *node, instances []*instance) map[string][]byte {
	out := map[string][]byte{}
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan *instance)
	for range auditReaders {
		all.Go(func() {
			for i := range next {
				r, err := get(ctx, n, hosttest.InstancePath(i.ID)+"?showHistory=true&showHistoryOutput=true")
				switch {
				case err != nil:
					a.rec.problem("unreadable", "%s: %v", i.ID, err)
				case r.code == http.StatusNotFound:
				case r.code != http.StatusOK && r.code != http.StatusAccepted:
					a.rec.problem("unreadable", "%s: host %d: %d %s", i.ID, n.n, r.code, clip(r.body))
				default:
					mu.Lock()
					out[i.ID] = r.body
					mu.Unlock()
				}
			}
		})
	}
	for _, i := range instances {
		next <- i
	}
	close(next)
	all.Wait()
	return out
}

// check compares one instance with what was acknowledged.
func (a *auditor) check(i *instance, body []byte) {
	if body == nil {
		if i.isAcked() {
			a.rec.problem("lost start", "%s %s was acknowledged and is not there", i.Name, i.ID)
		}
		return
	}
	s := &hosttest.Status{}
	if err := json.Unmarshal(body, s); err != nil {
		a.rec.problem("unreadable", "%s: %v: %s", i.ID, err, clip(body))
		return
	}
	i.seen(a.rec, s)
	switch {
	case !s.Terminal() && !i.isAcked() && i.want == "":
		return // nobody knew that it is there, so nobody let it end
	case !s.Terminal():
		a.rec.problem("stuck", "%s %s is %s after all has been quiet: %s", i.Name, i.ID, s.RuntimeStatus, clip(body))
		return
	case s.RuntimeStatus == "Terminated" && i.killed:
		return
	case s.RuntimeStatus != "Completed":
		a.rec.problem("wrong end", "%s %s ended as %s: %s", i.Name, i.ID, s.RuntimeStatus, clip(s.Output))
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
func (a *auditor) checkHistory(i *instance, s *hosttest.Status) {
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
		a.rec.problem("wrong history", "%s %s: %d starts, %d ends, outcomes of %d activities, want 1, 1, %d: %v", i.Name, i.ID, starts, ends, tasks, i.tasks, s.History)
	}
}

// checkCounter: every acknowledged message is there once, no message is there that was
// not sent, and all that clients were shown on the way is a beginning of the end.
func (a *auditor) checkCounter(i *instance, s *hosttest.Status) {
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

// listed compares a listing of all instances with those that must be there: each once,
// with all the children that are computable, and nothing else.
func (a *auditor) listed(ctx context.Context, n *node, instances []*instance) error {
	known, children := map[string]*instance{}, map[string]string{}
	for _, i := range instances {
		known[i.ID] = i
		for id, want := range i.children {
			children[id] = want
		}
	}
	times := map[string]int{}
	for token := new(string); ; {
		err := a.list(ctx, n, token, func(s *hosttest.Status) {
			times[s.InstanceID]++
			want, child := children[s.InstanceID]
			switch {
			case !child && known[s.InstanceID] == nil:
				a.rec.problem("instance from nowhere", "%s %s is listed, and nobody started it", s.Name, s.InstanceID)
			case child && want == "" && s.RuntimeStatus != "Failed", child && want != "" && s.RuntimeStatus != "Completed":
				a.rec.problem("wrong end", "sub-orchestration %s ended as %s, want %q", s.InstanceID, s.RuntimeStatus, want)
			case child && want != "" && !sameJSON(want, s.Output):
				a.rec.problem("wrong output", "sub-orchestration %s has %s, want %s", s.InstanceID, clip(s.Output), want)
			}
		})
		if err != nil {
			return err
		}
		if *token == "" {
			break
		}
	}
	for id, count := range times {
		if count > 1 {
			a.rec.problem("listed twice", "%s is listed %d times", id, count)
		}
	}
	for _, i := range instances {
		if !i.isAcked() {
			continue
		}
		if times[i.ID] == 0 {
			a.rec.problem("not listed", "%s %s", i.Name, i.ID)
		}
		for id := range i.children {
			if times[id] == 0 {
				a.rec.problem("not listed", "sub-orchestration %s", id)
			}
		}
	}
	return nil
}

// list reads the page of a host's listing that token names, and leaves the next one's.
func (a *auditor) list(ctx context.Context, n *node, token *string, each func(*hosttest.Status)) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	r := &reply{}
	path := fmt.Sprintf("%s/instances?showInput=false&top=%d", hosttest.API, pageSize)
	err := r.attempt(ctx, http.MethodGet, n.url+path, nil, map[string]string{tokenHeader: *token})
	if err == nil && r.code != http.StatusOK {
		err = fmt.Errorf("%d %s", r.code, clip(r.body))
	}
	var page []*hosttest.Status
	if err == nil {
		err = json.Unmarshal(r.body, &page)
	}
	if err != nil {
		return fmt.Errorf("host %d lists: %w", n.n, err)
	}
	for _, s := range page {
		each(s)
	}
	*token = r.header.Get(tokenHeader)
	return nil
}
