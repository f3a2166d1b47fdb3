package ownership

import (
	"context"
	"sync/atomic"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
)

// A hub that has had nothing to do for a while hibernates: its partitions are released
// with the moment of their next timer, the sessions are closed, and almost nothing is
// asked of the bucket until somebody wants something (docs/decisions/0016).

// hibernate releases all partitions until they are wanted, and ends the session. It reports
// whether that has worked; else the host goes on with what is left.
func (t *sessionLoop) hibernate() bool {
	m := t.m
	m.mu.Lock()
	if m.Stopping() {
		m.mu.Unlock()
		return false
	}
	released := m.cfg.Sched.NewSignal()
	m.released, m.wanted = released, false
	slots := make([]slot, len(m.slots))
	for n, s := range m.slots {
		if s.part != nil && m.view.Mine(n) {
			slots[n] = s
		}
	}
	m.view.Hibernate()
	m.publish()
	m.mu.Unlock()
	ok := t.releaseAll(slots) && t.ctx.Err() == nil
	if ok {
		m.cfg.Log.Info("nothing to do: the hub hibernates", "session", t.session.ID())
		m.tellDormant("")
		ok = t.session.Close(t.ctx) == nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view.Hibernated(ok); !ok {
		m.released = nil
	}
	released.Fire()
	return ok
}

// releaseAll lets the partitions hibernate, side by side, and reports whether all do.
func (t *sessionLoop) releaseAll(slots []slot) bool {
	var failed atomic.Bool
	releases := sched.NewGroup(t.m.cfg.Sched)
	for n, s := range slots {
		if s.part == nil {
			continue
		}
		releases.Go(func() {
			s.exec.Moving() // should an activity have been handed out at the last moment
			if err := t.release(n, s.part); err != nil {
				failed.Store(true)
				t.m.cfg.Log.Warn("partition is not released", "partition", n, "error", err)
				t.m.drop(n, s.part, err)
			}
		})
	}
	_ = releases.Wait(context.Background()) // each ends with the session's context, or before
	return !failed.Load()
}

func (t *sessionLoop) release(n int, p *partition.Partition) error {
	wakeAt, err := p.Hibernate(t.ctx)
	if err != nil {
		return err
	}
	t.m.close(n, func(v *cluster.View) { v.Released(t.m.cfg.Sched.Mono(), n, p.Epoch(), wakeAt) })
	return nil
}
