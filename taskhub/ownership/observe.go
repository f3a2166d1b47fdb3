package ownership

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/lease"
)

// readRoot finds out from the bucket whose partition n is. It ends with ctx only.
func (m *Manager) readRoot(ctx context.Context, n int) {
	root, _, err := m.cfg.Bucket(n).ReadRoot(ctx)
	if ctx.Err() != nil {
		return
	}
	fact := cluster.Root{Missing: root == nil}
	if root != nil {
		fact.Epoch = root.Epoch
		if err == nil {
			fact.Owner = root.Owner
		}
	}
	if fact.Owner != "" && fact.Owner != m.Session() {
		record, err := m.readSession(ctx, fact.Owner)
		if ctx.Err() != nil {
			return
		}
		fact.Live, fact.Address = err != nil || record.State == lease.Live, record.Address
	}
	var c cluster.Changes
	m.change(func(v *cluster.View) { c = v.Root(m.cfg.Sched.Mono(), n, fact) })
	m.apply(c)
}

// awaitEnd returns when a silent owner's session has ended, and its partitions are free.
func (t *sessionLoop) awaitEnd(ctx context.Context, owner string) {
	m := t.m
	observer := lease.Observer{
		Config: m.cfg.Lease, Dead: m.cfg.Dead,
		Seen: func(r lease.Record, bad error) { m.observed(owner, r, bad) },
	}
	gone, err := observer.Gone(ctx, owner)
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.Error("the owner of partitions cannot be observed", "owner", owner, "error", err)
		_ = m.cfg.Sched.Sleep(ctx, time.Second)
	}
	if err == nil {
		m.cfg.Log.Info("owner is gone", "owner", owner, "state", gone.State)
	}
	m.change(func(v *cluster.View) {
		t.observed = slices.DeleteFunc(t.observed, func(o observed) bool { return o.owner == owner })
		m.replan.Fire()
		if err == nil {
			v.Ended(m.cfg.Sched.Mono(), owner)
		}
	})
}

// observed takes what an observer found in the session of a silent owner. A record that
// could not be read before may tell now where its host is.
func (m *Manager) observed(owner string, r lease.Record, bad error) {
	peer, problem := cluster.Peer{Session: owner}, ""
	switch {
	case bad != nil:
		problem = bad.Error()
	case r.State == lease.Live:
		peer.Address = r.Address
	}
	var told bool
	var c cluster.Changes
	m.change(func(v *cluster.View) { told, c = v.Observed(m.cfg.Sched.Mono(), peer, problem) })
	m.apply(c)
	if told && bad != nil {
		m.cfg.Log.Error("session cannot be read", "owner", owner, "error", bad)
	}
}
