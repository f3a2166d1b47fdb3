package ownership

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	// endedSessionsKept is how long the object of a session that has ended stays, for
	// people who want to know who was there.
	endedSessionsKept = 24 * time.Hour
	forgetTimeout     = 30 * time.Second
)

// Session is the id of the session under which this host takes part at the moment.
func (m *Manager) Session() string { return m.currentSession().ID() }

func (m *Manager) currentSession() *lease.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

func (m *Manager) openSession(ctx context.Context) (*lease.Session, error) {
	return lease.Open(ctx, m.cfg.Lease, m.cfg.About)
}

// join takes part under a session. Called with the lock held.
func (m *Manager) join(s *lease.Session, settled time.Duration) {
	m.session = s
	m.view.Join(m.cfg.Sched.Mono(), cluster.Peer{Session: s.ID(), Address: m.cfg.About.Address}, m.cfg.Lease.Lease+settled)
}

// joinAgain opens another session. It reports whether it has: not when the hub
// has stopped.
func (m *Manager) joinAgain(woken bool) bool {
	for {
		s, err := m.openSession(m.ctx)
		if err == nil {
			settled := time.Duration(0)
			if woken {
				// For a timer or a request it is not worth while to move partitions about: only
				// if the hub stays awake for longer than it takes to hibernate again.
				settled = m.cfg.HibernateAfter
			}
			m.mu.Lock()
			m.join(s, settled)
			m.mu.Unlock()
			return true
		}
		if m.ctx.Err() != nil {
			return false
		}
		_ = m.cfg.Sched.Sleep(m.ctx, time.Second)
	}
}

// sweepSessions removes the objects of sessions that ended long ago. The session that a
// root still names counts as ended once its object is gone.
func (m *Manager) sweepSessions() {
	if m.cfg.Sessions == nil {
		return
	}
	if err := lease.Sweep(m.ctx, m.cfg.Sessions, layout.SessionPrefix, endedSessionsKept); err != nil && m.ctx.Err() == nil {
		m.cfg.Log.Warn("ended sessions are not swept", "error", err)
	}
}

// forgetSession deletes the object of a session that ended in order, in which no root was
// left: a hub that wakes every few minutes would leave one each time.
func (m *Manager) forgetSession(s *lease.Session) {
	if m.cfg.Sessions == nil {
		return
	}
	ctx, cancel := m.cfg.Sched.WithTimeout(m.ctx, forgetTimeout)
	defer cancel()
	if err := m.cfg.Sessions.Delete(ctx, layout.SessionPrefix+s.ID()); err != nil && ctx.Err() == nil {
		m.cfg.Log.Debug("an ended session is left", "session", s.ID(), "error", err)
	}
}

// readSession reads the record of a session; that of one that is not there is closed.
func (m *Manager) readSession(ctx context.Context, id string) (lease.Record, error) {
	key := layout.SessionPrefix + id
	b, _, err := lease.Read(ctx, m.cfg.Sched, m.cfg.Lease.Register, key)
	if errors.Is(err, storage.ErrNotFound) {
		return lease.Record{ID: id, State: lease.Closed}, nil
	}
	if err != nil {
		return lease.Record{}, err
	}
	return lease.Decode(key, b)
}
