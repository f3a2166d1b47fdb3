package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// TestSharing lets three hosts share a hub: any of them answers for every instance, and
// partitions move only for the sake of balance.
func TestSharing(t *testing.T) {
	features := []struct {
		name string
		test func(t *testing.T, hosts []*hosttest.Host)
	}{
		{"requests through any host", anyHost},
		{"bad requests", func(t *testing.T, hosts []*hosttest.Host) { badRequests(t, hosts[1]) }},
		{"lists and purges over all hosts", listAndPurge},
		{"children on all hosts", fanOuts},
	}
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		root := shared(t, s, shortLease)
		hosts := startAll(t, root, 3)
		before := hosttest.UntilSpread(t, hosts...)
		for _, f := range features {
			t.Run(f.name, func(t *testing.T) { f.test(t, hosts) })
		}
		if s.Provider["type"] == "file" { // it is between hosts; TestFeatures has large payloads on MinIO
			t.Run("large payloads through any host", func(t *testing.T) { largeAnywhere(t, hosts) })
		}
		after := hosttest.UntilSpread(t, hosts...)
		wantMoves(t, before, after, 0, 0)

		// One that restarts gives away what it has, and takes back what makes it even.
		before = after
		hosts[0].Stop(t)
		hosts[0] = root.Start(t)
		after = hosttest.UntilSpread(t, hosts...)
		wantMoves(t, before, after, before.Has(0)+1, 1)

		// Of four partitions the fourth host takes the one that another has too many.
		hosts = append(hosts, root.Start(t))
		before, after = after, hosttest.UntilSpread(t, hosts...)
		wantMoves(t, before, after, 1, 0)
		anyHost(t, hosts)
		for _, h := range hosts {
			h.Stop(t)
		}
	})
}

// wantMoves fails the test when partitions have changed hands more often, unless more hosts
// than were restarted have another session: on a machine that is busy enough they lose it.
func wantMoves(t *testing.T, before, after *hosttest.Spread, most, restarted int) {
	t.Helper()
	lost := 0
	for i, session := range before.Sessions {
		if after.Sessions[i] != session {
			lost++
		}
	}
	if moves := after.Moves(before); moves > most && lost <= restarted {
		t.Errorf("partitions changed hands %d times, want %d: epochs were %v, and are %v", moves, most, before.Epochs, after.Epochs)
	}
}

// anyHost takes instances through their lives, with each request through another host.
// There are so many of them that each kind of request comes to an owner, and to others.
func anyHost(t *testing.T, hosts []*hosttest.Host) {
	for n := range 3 * partitions {
		id := fmt.Sprint(idFor(t), "-", n)
		at := func(path ...string) string { return client.InstancePath(id, path...) }
		start := client.StartPath("Child", id)
		via := n
		expect := func(code int, method, path string, body any) *client.Answer {
			t.Helper()
			via++
			return hosts[via%len(hosts)].Expect(t, code, method, path, body)
		}
		until := func(status client.RuntimeStatus) *client.Instance {
			t.Helper()
			via++
			return hosts[via%len(hosts)].UntilStatus(t, id, status)
		}
		expect(http.StatusNotFound, "GET", at(), nil)
		expect(http.StatusAccepted, "POST", start, "null")
		expect(http.StatusConflict, "POST", start, "null")
		until("Running")
		expect(http.StatusConflict, "DELETE", at(), nil)
		expect(http.StatusAccepted, "POST", at("suspend")+"?reason=wait", nil)
		until("Suspended")
		expect(http.StatusConflict, "POST", at("suspend"), nil)
		expect(http.StatusBadRequest, "POST", at("raiseEvent", "Go"), "{oops")
		expect(http.StatusAccepted, "POST", at("raiseEvent", "Go"), `"done"`)
		expect(http.StatusAccepted, "POST", at("resume"), nil)
		if s := until("Completed"); string(s.Output) != `"done"` || len(s.History) == 0 {
			t.Errorf("%s ends with %s and %d events", id, s.Output, len(s.History))
		}
		expect(http.StatusGone, "POST", at("raiseEvent", "Go"), `"late"`)
		expect(http.StatusGone, "POST", at("terminate"), nil)
		expect(http.StatusOK, "DELETE", at(), nil)
		expect(http.StatusNotFound, "GET", at(), nil)
		expect(http.StatusAccepted, "POST", start, "null")
		expect(http.StatusAccepted, "POST", at("terminate")+"?reason=enough", nil)
		if s := until("Terminated"); string(s.Output) != `"enough"` {
			t.Errorf("%s ends with %s, want the reason", id, s.Output)
		}
	}
}

// listAndPurge reads pages that go over the partitions of all hosts, each page through
// another one, and purges what has ended.
func listAndPurge(t *testing.T, hosts []*hosttest.Host) {
	const count = 20
	prefix := idFor(t)
	for n := range count {
		h := hosts[n%len(hosts)]
		h.StartInstance(t, "Child", fmt.Sprint(prefix, "-", n), "null")
		if n%2 == 0 {
			h.Raise(t, fmt.Sprint(prefix, "-", n), "Go", `"done"`)
		}
	}
	for n := 0; n < count; n += 2 {
		hosts[(n+1)%len(hosts)].UntilStatus(t, fmt.Sprint(prefix, "-", n), "Completed")
	}
	list := func(query string) []string {
		t.Helper()
		var ids []string
		for page, token := 0, ""; ; page++ {
			c := hosts[page%len(hosts)].Client
			c.Header = http.Header{"X-Ms-Continuation-Token": {token}}
			a := c.Expect(t, http.StatusOK, "GET", client.InstancePath("")+"?top=3&instanceIdPrefix="+prefix+query, nil)
			var rows []client.Instance
			must(t, json.Unmarshal(a.Body, &rows))
			for _, r := range rows {
				ids = append(ids, r.ID)
			}
			if token = a.Header.Get("X-Ms-Continuation-Token"); token == "" {
				return ids
			}
		}
	}
	all := list("")
	slices.Sort(all)
	if len(all) != count || len(slices.Compact(all)) != count {
		t.Errorf("the pages show %q, want %d instances, each once", all, count)
	}
	const completed = "&runtimeStatus=Completed&createdTimeFrom=2000-01-01T00:00:00Z"
	if n := len(list(completed)); n != count/2 {
		t.Errorf("%d instances are listed as Completed, want %d", n, count/2)
	}
	a := hosts[2].Expect(t, http.StatusOK, "DELETE", client.InstancePath("")+"?instanceIdPrefix="+prefix+completed, nil)
	if want := fmt.Sprintf(`{"instancesDeleted":%d}`, count/2); string(a.Body) != want {
		t.Errorf("purge answers %s, want %s", a.Body, want)
	}
	if left := list(""); len(left) != count/2 {
		t.Errorf("the purge leaves %q", left)
	}
}

// largeAnywhere sends more than hosts have under way to each other as an input and as an
// event, and reads them as an output, each through another host, two of which are not the
// owner.
func largeAnywhere(t *testing.T, hosts []*hosttest.Host) {
	id, text := idFor(t), strings.Repeat("y", large(17<<20))
	body := `"` + text + `"`
	hosts[0].StartInstance(t, "Child", id, body)
	hosts[1].Raise(t, id, "Go", body)
	hosts[2].UntilStatus(t, id, "Completed")
	for _, h := range hosts {
		var out, in string
		status := h.Instance(t, id)
		must(t, json.Unmarshal(status.Output, &out))
		must(t, json.Unmarshal(status.Input, &in))
		if in != text || out != text {
			t.Errorf("input and output have %d and %d bytes, want %d", len(in), len(out), len(text))
		}
	}
}

// fanOuts lets parents have children on all hosts: their starts and their results are
// messages between partitions.
func fanOuts(t *testing.T, hosts []*hosttest.Host) {
	const parents, each = 2 * partitions, 50
	for n := range parents {
		hosts[n%len(hosts)].StartInstance(t, "Fan", fmt.Sprint(idFor(t), "-", n), each)
	}
	for n := range parents {
		var sum int
		if hosts[(n+1)%len(hosts)].Output(t, fmt.Sprint(idFor(t), "-", n), &sum); sum != each*(each-1) {
			t.Errorf("parent %d adds up to %d, want %d", n, sum, each*(each-1))
		}
	}
}
