package e2e

import (
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/taskhub/lease/dynamodb/dynalitetest"
)

// TestTakeoverWithLeasesInDynamoDB: hosts that keep sessions and roots in a table share a
// hub, and take over from each other, as others do.
func TestTakeoverWithLeasesInDynamoDB(t *testing.T) {
	endpoint := dynalitetest.Start(t)
	s := hosttest.File().With("leases", map[string]any{
		"type": "dynamodb", "table": "leases", "endpoint": endpoint, "region": "us-east-1",
	})
	s.Env = append(s.Env, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
	root := shared(t, s, shortLease)
	takeoverAfterTheLease(t, root)
	store := s.Open(t, root)
	for _, prefix := range []string{"session/", "p/00/root"} {
		for e, err := range store.List(t.Context(), prefix, "") {
			must(t, err)
			t.Errorf("the store has %s: it belongs into the table", e.Key)
		}
	}
	// Who comes after all of them finds what they left.
	h := root.Start(t)
	h.UntilStatus(t, waiters[0], "Completed")
	h.Stop(t)
}
