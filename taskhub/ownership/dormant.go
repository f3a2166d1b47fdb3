package ownership

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	// pollEvery is how often a host that hibernates polls the bucket: others, who cannot
	// reach it, may have been awake meanwhile. A poll that costs n requests lets the next
	// wait n times as long, an hour at most.
	pollEvery    = 10 * time.Minute
	maxPollCosts = 6
	// settleFor is how many heartbeats' time the other hosts have to hibernate as well.
	settleFor = 3
	// pollAgain is when a poll that failed is repeated.
	pollAgain   = time.Minute
	pollTimeout = 30 * time.Second
)

// poller polls the bucket of a hub that hibernates.
type poller struct {
	m    *Manager
	seen map[string]storage.Entry // sessions, as of the last poll
	turn int                      // of the roots, where sessions cannot be listed
	next time.Duration            // Mono of the next poll
}

// awaitWake returns when the hub is wanted: by a request, another host, a timer, the bucket,
// or because it stops.
func (m *Manager) awaitWake() {
	p := &poller{m: m, next: m.cfg.Sched.Mono() + settleFor*m.view.HeartbeatEvery()}
	for m.ctx.Err() == nil {
		m.mu.Lock()
		m.replan = m.cfg.Sched.NewSignal()
		again, wanted := m.replan, m.wanted || m.Stopping()
		due, timer := m.view.WakeAt()
		m.mu.Unlock()
		left := time.Duration(due - m.cfg.Sched.Now().UnixNano())
		if wanted || timer && left <= 0 {
			break
		}
		pause := p.next - m.cfg.Sched.Mono()
		if pause <= 0 {
			if p.poll() {
				break
			}
			continue
		}
		if timer {
			pause = min(pause, left)
		}
		wait, done := m.cfg.Sched.WithTimeout(m.ctx, pause)
		_ = again.Wait(wait)
		done()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = nil
	m.view.Awake(m.cfg.Sched.Mono())
	if !m.Stopping() {
		m.cfg.Log.Info("the hub wakes", "asked", m.wanted)
	}
}

// poll looks into the bucket and reports whether the hub has to wake: somebody owns a
// partition, and needs to be watched.
func (p *poller) poll() (wake bool) {
	m := p.m
	ctx, cancel := m.cfg.Sched.WithTimeout(m.ctx, pollTimeout)
	defer cancel()
	requests := 0
	changed, err := p.sessionsChanged(ctx, &requests)
	for n := range m.cfg.Partitions {
		if err != nil || wake {
			break
		}
		if changed || !m.partition(n).Released {
			requests++
			wake, err = p.readRoot(ctx, n)
		}
	}
	if err != nil && m.ctx.Err() == nil {
		m.cfg.Log.Warn("the hibernating hub cannot be looked after", "error", err)
		p.next = m.cfg.Sched.Mono() + pollAgain
		return false
	}
	p.next = m.cfg.Sched.Mono() + pollEvery*time.Duration(min(max(requests, 1), maxPollCosts))
	return wake
}

// partition is what is believed of partition n.
func (m *Manager) partition(n int) cluster.Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.Partition(n)
}

// sessionsChanged reports whether another host took part in the hub since the last poll. In a
// register that cannot be listed it reads one root instead, each in its turn.
func (p *poller) sessionsChanged(ctx context.Context, requests *int) (bool, error) {
	m := p.m
	if m.cfg.Sessions == nil {
		n := p.turn % m.cfg.Partitions
		before := m.partition(n)
		if p.turn++; p.turn == 1 || !before.Released {
			return false, nil // the first poll; those that are not known are read anyhow
		}
		*requests++
		_, err := p.readRoot(ctx, n)
		now := m.partition(n)
		return now.Epoch != before.Epoch || !now.Released, err
	}
	*requests++
	now := map[string]storage.Entry{}
	changed := false
	for e, err := range m.cfg.Sessions.List(ctx, layout.SessionPrefix, "") {
		if err != nil {
			return false, err
		}
		before, known := p.seen[e.Key]
		changed = changed || !known || before.Tag != e.Tag || !before.Modified.Equal(e.Modified)
		now[e.Key] = e
	}
	changed = changed && p.seen != nil
	p.seen = now
	return changed, nil
}

// readRoot finds out when partition n has to be served, and whether somebody owns it.
func (p *poller) readRoot(ctx context.Context, n int) (owned bool, err error) {
	m := p.m
	root, _, err := m.cfg.Bucket(n).ReadRoot(ctx)
	var corrupt *partition.CorruptError
	if errors.As(err, &corrupt) {
		return true, nil // awake the hub parks it and names it, and serves the others
	}
	if err != nil || root == nil {
		return root == nil && err == nil, err
	}
	jitter := m.wakeJitter()
	m.change(func(v *cluster.View) {
		owned = v.RootWhileDormant(m.cfg.Sched.Mono(), jitter, n, cluster.Root{Epoch: root.Epoch, Owner: root.Owner, WakeAt: root.WakeAt})
	})
	return owned, nil
}
