package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

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
	answerWithin = time.Minute
	settleWithin = 3 * time.Minute
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

// settled reads all instances, those again and again that should have ended and have not.
func (a *auditor) settled(ctx context.Context, n *node, instances []*instance) map[string][]byte {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	out := map[string][]byte{}
	for {
		maps.Copy(out, a.readAll(context.WithoutCancel(ctx), n, instances))
		instances = slices.DeleteFunc(slices.Clone(instances), func(i *instance) bool {
			s := &hosttest.Status{}
			return out[i.ID] == nil || json.Unmarshal(out[i.ID], s) != nil || s.Terminal() || i.left()
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
