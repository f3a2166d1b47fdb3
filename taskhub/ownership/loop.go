package ownership

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// sessionLoop plans and carries out, again and again, as long as one session lasts.
type sessionLoop struct {
	m        *Manager
	ctx      context.Context // ends with the session
	session  *lease.Session
	beside   *sched.Group // serving partitions, observing owners
	observed []observed
}

// observed is a silent owner that is being observed.
type observed struct {
	owner  string
	cancel context.CancelCauseFunc
}

// serveSession serves partitions until the session is lost, the hub stops, or it hibernates,
// and returns when all of them are closed.
func (m *Manager) serveSession(session *lease.Session, woken bool) (dormant bool) {
	ctx, cancel := m.cfg.Sched.WithCancel(m.ctx)
	defer cancel(lease.ErrLost)
	m.cfg.Sched.Go(func() {
		if session.Lost().Wait(ctx) == nil {
			cancel(lease.ErrLost)
			m.Replan()
		}
	})
	t := &sessionLoop{m: m, ctx: ctx, session: session, beside: sched.NewGroup(m.cfg.Sched)}
	t.readRoots()
	for ctx.Err() == nil && !m.Stopping() {
		plan, again := t.plan()
		if plan.Hibernate {
			if dormant = t.hibernate(); dormant {
				cancel(lease.ErrLost)
				break
			}
			continue
		}
		t.carryOut(plan)
		m.sendHeartbeat()
		wait, done := m.cfg.Sched.WithTimeout(ctx, plan.Next)
		_ = again.Wait(wait)
		done()
	}
	_ = t.beside.Wait(context.Background()) // each ends with ctx, or with its partition
	state := cluster.Opening                // under the next session
	switch {
	case m.ctx.Err() != nil || m.Stopping():
		state = cluster.Stopped
	case dormant:
		state = cluster.Dormant
	}
	m.change(func(v *cluster.View) {
		clear(m.slots)
		v.Close(state)
	})
	return dormant
}

// readRoots reads all roots: after it every partition is known to be free or another's.
func (t *sessionLoop) readRoots() {
	t.m.change(func(v *cluster.View) {
		clear(t.m.slots)
		v.Forget()
	})
	roots := sched.NewGroup(t.m.cfg.Sched)
	for n := range t.m.cfg.Partitions {
		roots.Go(func() { t.m.readRoot(t.ctx, n) })
	}
	_ = roots.Wait(context.Background()) // each ends with ctx
}

// plan makes a plan; again fires when another one may be due.
func (t *sessionLoop) plan() (p cluster.Plan, again sched.Signal) {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replan = m.cfg.Sched.NewSignal()
	now := m.cfg.Sched.Mono()
	m.view.Tick(now, m.cfg.Sched.Now().UnixNano(), m.activity())
	m.publish()
	p = m.view.Plan(now)
	t.observe(p.Observe)
	for _, n := range p.Recheck {
		m.view.Rechecking(n)
		t.beside.Go(func() { m.readRoot(t.ctx, n); m.Replan() })
	}
	return p, m.replan
}

// activity is what this host does at the moment. Called with the lock held.
func (m *Manager) activity() cluster.Activity {
	begun, ended := m.cfg.Requests()
	a := cluster.Activity{
		Stopping: m.Stopping(), Moving: m.moving, Asking: m.asking, Requests: begun, Answering: begun != ended,
		Served: make([]cluster.Idleness, len(m.slots)),
	}
	for n, s := range m.slots {
		if s.part != nil && !s.part.Done().Fired() {
			r := s.part.Idleness()
			a.Served[n] = cluster.Idleness{Serving: true, Seq: r.Seq, Busy: r.Busy, Timer: r.Timer}
		}
	}
	return a
}

// carryOut begins to serve what the plan claims, and asks for a partition.
func (t *sessionLoop) carryOut(p cluster.Plan) {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Stopping() {
		return
	}
	for _, n := range p.Claim {
		if !m.view.Partition(n).Free {
			continue // somebody has claimed it since the plan was made
		}
		ended := m.view.Claiming(n)
		t.beside.Go(func() { t.serve(n, ended) })
	}
	m.publish()
	if p.Ask != (cluster.Peer{}) && m.cfg.Sched.Mono() >= m.askAgain {
		m.asking = true
		t.beside.Go(func() { t.ask(p.Ask, p.Owned) })
	}
}

// moveTimeout is when a host gives up to ask for a partition.
const moveTimeout = 30 * time.Second

// ask asks another host for one of its partitions.
func (t *sessionLoop) ask(from cluster.Peer, owned int) {
	m := t.m
	ctx, cancel := m.cfg.Sched.WithTimeout(t.ctx, moveTimeout)
	defer cancel()
	a, err := m.cfg.Network.Peer(from.Address).Call(ctx, &transport.Request{Hub: m.cfg.Hub, Op: &transport.Request_Move{Move: &transport.Move{
		Session: t.session.ID(), Address: m.cfg.About.Address, Owned: uint32(owned),
	}}})
	if err == nil && a.Code == transport.Code_OK && int(a.Moved) < m.cfg.Partitions {
		m.cfg.Log.Info("a partition is handed over to this host", "partition", a.Moved, "by", from.Session)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asking = false
	if err != nil || a.Code != transport.Code_OK {
		m.askAgain = m.cfg.Sched.Mono() + m.view.HeartbeatEvery() // before, it could give none either
	}
	m.replan.Fire()
}

// observe begins to observe the owners that are silent, and ends it for those that speak
// again. Called with the lock held.
func (t *sessionLoop) observe(silent []string) {
	for _, owner := range silent {
		if slices.ContainsFunc(t.observed, func(o observed) bool { return o.owner == owner }) {
			continue
		}
		t.m.cfg.Log.Info("waiting for the owner", "owner", owner)
		ctx, cancel := t.m.cfg.Sched.WithCancel(t.ctx)
		t.observed = append(t.observed, observed{owner, cancel})
		t.beside.Go(func() { t.awaitEnd(ctx, owner) })
	}
	for _, o := range t.observed {
		if !slices.Contains(silent, o.owner) {
			o.cancel(nil) // it speaks again
		}
	}
}
