package ownership

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/partition"
)

// serve opens a partition again and again, as long as it is this host's. ended is the
// session that is known to have ended, if it owned the partition before.
func (t *sessionLoop) serve(n int, ended string) {
	m := t.m
	for attempt := 0; t.ctx.Err() == nil && !m.Stopping(); attempt++ {
		part, exec, err := m.cfg.Open(t.ctx, t.session, n, ended)
		if err == nil {
			attempt = 0
			m.opened(n, part, exec)
			_ = part.Done().Wait(context.Background()) // a partition ends with its session or with the hub
			err = part.Err()
			exec.Close()
			if m.givenUp(n, part) {
				return
			}
		}
		if m.Stopping() || t.ctx.Err() != nil {
			continue
		}
		if !t.goOn(n, err) {
			return
		}
		_ = m.cfg.Sched.Sleep(t.ctx, min(100*time.Millisecond<<min(attempt, 5), 3*time.Second))
	}
}

// opened notes that a partition serves.
func (m *Manager) opened(n int, part *partition.Partition, exec Executor) {
	stopping := false
	m.change(func(v *cluster.View) {
		m.slots[n] = slot{part, exec}
		v.Serving(n, part.Epoch())
		stopping = m.Stopping()
	})
	if stopping {
		part.Abandon(ErrStopped) // Stop did not see it among those to be stopped
	}
	m.Replan() // the others are told
	m.resendTo(n)
}

// givenUp reports whether the end of serving n was a hand-over or the hub's hibernation,
// which know what follows.
func (m *Manager) givenUp(n int, part *partition.Partition) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slots[n].part != part || m.view.GivenUp(n)
}

// goOn notes why a partition is not served, and reports whether to try again.
func (t *sessionLoop) goOn(n int, err error) bool {
	m := t.m
	var corrupt *partition.CorruptError
	switch {
	case errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrDamaged):
		m.close(n, func(v *cluster.View) { v.Failed(n, cluster.Parked, err.Error()) })
		m.Replan()
		m.cfg.Log.Error("partition is parked: an object is corrupt, its bytes are kept", "partition", n, "error", err)
		return false
	case errors.Is(err, partition.ErrOwned), errors.Is(err, partition.ErrFenced):
		m.cfg.Log.Info("another host has the partition", "partition", n, "reason", err)
		m.close(n, func(v *cluster.View) { v.Fenced(n) })
		m.readRoot(t.ctx, n)
		m.Replan()
		return false
	case err != nil:
		m.close(n, func(v *cluster.View) { v.Failed(n, cluster.Opening, err.Error()) })
		m.cfg.Log.Warn("partition is not served", "partition", n, "error", err)
	}
	return true
}

// closeIf is close if p is still what is served: a hand-over may outlive its session, whose end
// has emptied the slot, or the next one filled it.
func (m *Manager) closeIf(n int, p *partition.Partition, f func(v *cluster.View)) {
	m.change(func(v *cluster.View) {
		if m.slots[n].part == p {
			m.slots[n] = slot{}
			f(v)
		}
	})
}

// close empties the slot of partition n and tells the View why.
func (m *Manager) close(n int, f func(v *cluster.View)) {
	m.change(func(v *cluster.View) {
		m.slots[n] = slot{}
		f(v)
	})
}
