package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	api "github.com/durafunc/durafunc/plugins/durable/client"
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
	answerWithin = time.Minute
	settleWithin = 3 * time.Minute
	pageSize     = 1000
)

// run returns how many instances it has read.
func (a *auditor) run(ctx context.Context, instances []*instance) (int, error) {
	a.rec.sayf("audit: %d instances", len(instances))
	first, err := a.serving(ctx, nil)
	if err != nil {
		return 0, err
	}
	before := a.settled(ctx, first, instances)
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
	a.rec.sayf("audit: hosts have stopped; durafunc hub verify")
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
			if n != not && lists(ctx, n) {
				a.rec.sayf("audit: host %d answers", n.n)
				return n, nil
			}
		}
		if !pause(ctx, time.Second) {
			return nil, fmt.Errorf("no host answers for all partitions: %w", context.Cause(ctx))
		}
	}
}

// readWhole reads an instance with its history from one host, again while it is unavailable:
// what the host answers, byte for byte, and nil when there is no such instance.
func readWhole(ctx context.Context, n *node, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	read := api.Request{Method: http.MethodGet, Path: api.InstancePath(id) + "?showHistory=true&showHistoryOutput=true"}
	for {
		answer, err := apiOf(n.url).Do(ctx, read)
		switch {
		case err != nil:
		case answer.Code == http.StatusOK, answer.Code == http.StatusAccepted:
			return answer.Body, nil
		case answer.Code == http.StatusNotFound:
			return nil, nil
		default:
			err = fmt.Errorf("%d %s", answer.Code, clip(answer.Body))
			if answer.Code != http.StatusServiceUnavailable {
				return nil, fmt.Errorf("host %d: %w", n.n, err)
			}
		}
		if !pause(ctx, retryPause) {
			return nil, fmt.Errorf("host %d: %w", n.n, err)
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
				body, err := readWhole(ctx, n, i.ID)
				switch {
				case err != nil:
					a.rec.problem("unreadable", "%s: %v", i.ID, err)
				case body != nil:
					mu.Lock()
					out[i.ID] = body
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

// settled reads all instances, those again and again that should have ended and have not.
func (a *auditor) settled(ctx context.Context, n *node, instances []*instance) map[string][]byte {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	out := map[string][]byte{}
	for {
		maps.Copy(out, a.readAll(context.WithoutCancel(ctx), n, instances))
		instances = slices.DeleteFunc(slices.Clone(instances), func(i *instance) bool {
			s := &api.Instance{}
			return out[i.ID] == nil || json.Unmarshal(out[i.ID], s) != nil || s.Status.Terminal() || i.left()
		})
		if len(instances) == 0 || !pause(ctx, time.Second) {
			return out
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
	for in, err := range list(ctx, n) {
		if err != nil {
			return err
		}
		times[in.ID]++
		want, child := children[in.ID]
		switch {
		case !child && known[in.ID] == nil:
			a.rec.problem("instance from nowhere", "%s %s is listed, and nobody started it", in.Name, in.ID)
		case child && want == "" && in.Status != api.StatusFailed, child && want != "" && in.Status != api.StatusCompleted:
			a.rec.problem("wrong end", "sub-orchestration %s ended as %s, want %q", in.ID, in.Status, want)
		case child && want != "" && !sameJSON(want, in.Output):
			a.rec.problem("wrong output", "sub-orchestration %s has %s, want %s", in.ID, clip(in.Output), want)
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

// list is a host's listing of all instances.
func list(ctx context.Context, n *node) iter.Seq2[*api.Instance, error] {
	return apiOf(n.url).List(ctx, api.Query{PageSize: pageSize})
}

// lists reports whether a host lists all instances: it, or whom it asks, answers for
// every partition.
func lists(ctx context.Context, n *node) bool {
	for _, err := range list(ctx, n) {
		if err != nil {
			return false
		}
	}
	return true
}
