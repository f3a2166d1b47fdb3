package ownership

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// How long a partition that is being stopped waits for work that is out with apps: when
// nobody takes it over, and when somebody does, who would have to wait as well.
const (
	alonePatience = 2 * time.Second
	movePatience  = 250 * time.Millisecond
)

// Grant hands one partition over to a host that asks for it and has fewer.
func (m *Manager) Grant(ctx context.Context, r *transport.Move) *transport.Response {
	to := cluster.Peer{Session: r.Session, Address: r.Address}
	m.mu.Lock()
	n, ok := m.view.Grant(int(r.Owned))
	if to.Session == "" || to.Address == "" || ok && m.slots[n].part.Done().Fired() || m.moving || m.Stopping() {
		ok = false
	}
	if !ok {
		m.mu.Unlock()
		return &transport.Response{Code: transport.Code_BUSY, Text: "no partition to give"}
	}
	m.moving = true
	c := m.view.Meet(m.cfg.Sched.Mono(), to)
	m.mu.Unlock()
	m.apply(c)
	err := m.HandOver(ctx, n, to)
	m.mu.Lock()
	m.moving = false
	m.mu.Unlock()
	if err != nil {
		return &transport.Response{Code: transport.Code_OTHER, Text: err.Error()}
	}
	return &transport.Response{Moved: uint32(n)}
}

// HandOver moves partition n to another host, in order: a checkpoint while it still serves,
// then no more intake, the last commit, a small checkpoint, the root released; and its
// successor is told. Requests that come meanwhile wait, on this host or on the one that
// forwards them. An error means that this host opens the partition again.
func (m *Manager) HandOver(ctx context.Context, n int, to cluster.Peer) error {
	m.mu.Lock()
	s := m.slots[n]
	if s.part == nil {
		m.mu.Unlock()
		return partition.ErrStopped
	}
	m.view.Moving(n)
	m.publish()
	m.mu.Unlock()
	s.exec.Moving()
	started := m.cfg.Sched.Mono()
	err := s.part.Checkpoint(ctx)
	if err == nil {
		s.part.Quiesce(movePatience)
		err = s.part.Stop(ctx)
	}
	if err != nil {
		m.drop(n, s.part, err)
		return err
	}
	m.closeIf(n, s.part, func(v *cluster.View) { v.HandedOver(n, s.part.Epoch(), to) })
	m.sendHeartbeat()
	m.Replan()
	m.cfg.Log.Info("partition is handed over", "partition", n, "to", to.Session, "elapsed", m.cfg.Sched.Mono()-started)
	return nil
}

// drop abandons a partition that is half stopped and of no use; it is opened again.
func (m *Manager) drop(n int, p *partition.Partition, reason error) {
	p.Abandon(reason)
	_ = p.Done().Wait(context.Background())
	m.closeIf(n, p, func(v *cluster.View) { v.Dropped(m.cfg.Sched.Mono(), n, p.Epoch()) })
	m.Replan()
}

// handAllOver gives every partition to the host that has the fewest then, or just releases
// it when there is no other host.
func (m *Manager) handAllOver(ctx context.Context) error {
	m.sendHeartbeat() // the others learn that this host is leaving
	m.mu.Lock()
	to := m.view.Successors(m.cfg.Sched.Mono())
	parts := make([]*partition.Partition, len(m.slots))
	for n, s := range m.slots {
		if s.part != nil && m.view.Partition(n).State != cluster.Moving {
			parts[n] = s.part
		}
	}
	m.mu.Unlock()
	errs := make([]error, len(parts))
	stops := sched.NewGroup(m.cfg.Sched)
	for n, p := range parts {
		if p == nil {
			continue
		}
		stops.Go(func() {
			if to[n] != (cluster.Peer{}) {
				errs[n] = m.HandOver(ctx, n, to[n])
				return
			}
			p.Quiesce(alonePatience)
			errs[n] = p.Stop(ctx)
		})
	}
	if err := stops.Wait(ctx); err != nil {
		return err // those that are still at it are abandoned
	}
	return errors.Join(errs...)
}

// Quiesce begins to leave: from now on no work is handed out and no request taken. The
// executor can then give back what it has not begun, so that Stop need not wait for it.
func (m *Manager) Quiesce() {
	m.leaving.Store(true)
	m.mu.Lock()
	patience := alonePatience
	if m.view.HasSuccessor(m.cfg.Sched.Mono()) {
		patience = movePatience
	}
	m.mu.Unlock()
	m.sendHeartbeat() // no more work comes from others
	for _, p := range m.Served() {
		p.Quiesce(patience)
	}
}

// Stop commits what is there, takes checkpoints, hands the partitions over to other hosts
// or releases them, and closes the session, so that whoever comes next starts without
// waiting and without replaying. When ctx ends first the partitions are abandoned: nothing
// is lost, but others wait for the lease. It may be called more than once.
func (m *Manager) Stop(ctx context.Context) error {
	m.mu.Lock()
	again := m.stopping.Swap(true)
	session, released := m.session, m.released
	m.mu.Unlock()
	if again {
		return m.ended.Wait(ctx)
	}
	if released != nil {
		m.Replan()
		_ = released.Wait(ctx) // the partitions are being released already
	}
	err := m.handAllOver(ctx)
	if err == nil {
		err = session.Close(ctx)
	}
	m.cancel(ErrStopped)
	for _, p := range m.Served() {
		p.Abandon(ErrStopped)
	}
	m.Replan()
	err = errors.Join(err, m.ended.Wait(ctx))
	// Again, for one that was not closed in good order: a session that is renewed as long
	// as the process lives would keep every other host waiting.
	return errors.Join(err, m.currentSession().Close(ctx))
}
