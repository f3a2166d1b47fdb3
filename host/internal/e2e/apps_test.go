package e2e

import (
	"fmt"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// TestHostsWithDifferentApps lets three hosts share a hub of which one has no function app
// and the others have different ones: whatever is started, wherever, runs where its
// functions are.
func TestHostsWithDifferentApps(t *testing.T) {
	t.Parallel()
	s := hosttest.File().With("path", t.TempDir()).With("leaseDuration", shortLease.String()).With("partitionCount", partitions)
	var hosts []*hosttest.Host
	for _, app := range []string{"", helloApp, testApp} {
		root := hosttest.NewRoot(t, s, nil)
		if app != "" {
			root.Deploy("app", hosttest.App(t, app))
		}
		hosts = append(hosts, root.Start(t))
	}
	hosttest.UntilSpread(t, hosts...)
	for n := range 2 * partitions { // some of them on each host's partitions
		via := hosts[n%len(hosts)]
		hello, chain := fmt.Sprint("hello-", n), fmt.Sprint("chain-", n)
		via.StartInstance(t, "Hello", hello, `"Ada"`)
		via.StartInstance(t, "Chain", chain, "3")
		var greeting string
		if via.Output(t, hello, &greeting); greeting != "Hello, Ada!" {
			t.Errorf("%s: %q", hello, greeting)
		}
		via.UntilStatus(t, chain, "Completed")
	}
	for _, h := range hosts {
		h.Stop(t)
	}
}
