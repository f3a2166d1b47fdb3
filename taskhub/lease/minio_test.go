package lease_test

import (
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// The shortest lease that host.json allows leaves a second at most, which a signature can
// hardly tell: writes wait for renewals now and then, and all get through.
func TestAppendUnderTheShortestLease(t *testing.T) {
	if testing.Short() {
		t.Skip("two leases in real time")
	}
	store := miniotest.Start(t).Open(t)
	const shortest = 2 * time.Second
	session, err := lease.Open(t.Context(), lease.Config{Register: store, Sched: sched.Real(), Prefix: prefix, Lease: shortest}, lease.Record{Host: "a"})
	if err != nil {
		t.Fatal(err)
	}
	log := commitlog.Log{Store: store, Sched: sched.Real(), Prefix: "p/00/log/"}
	var slowest time.Duration
	seq, start := uint64(1), time.Now()
	for ; time.Since(start) < 2*shortest; seq++ {
		sent := time.Now()
		rec := commitlog.Record{Kind: commitlog.Commit, Hub: "h", Session: session.ID(), Epoch: 1, Seq: seq}
		if err := log.Append(t.Context(), session, seq, rec.Encode()); err != nil {
			t.Fatalf("record %d: %v", seq, err)
		}
		slowest = max(slowest, time.Since(sent))
	}
	t.Logf("%d records, the slowest took %v", seq-1, slowest)
	if err := session.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := log.Slots(t.Context()); err != nil || uint64(len(n)) != seq-1 {
		t.Errorf("%d slots of %d, %v", len(n), seq-1, err)
	}
}
