package taskhub

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	// glanceEvery is how often a host that sleeps looks into the bucket whether others,
	// who cannot reach it, were awake meanwhile. A look that costs more requests than one
	// lets the next wait longer: at most seven an hour.
	glanceEvery = 10 * time.Minute
	glanceCosts = 6
	// settleFor is how many Hellos' time the other hosts have to fall asleep as well.
	settleFor = 3
	// glanceAgain is when a look that failed is repeated.
	glanceAgain   = time.Minute
	glanceTimeout = 30 * time.Second
)

// sleeper is a hub in its sleep.
type sleeper struct {
	h     *Hub
	seen  map[string]storage.Entry // sessions, as of the last look
	turn  int                      // of the roots, where sessions cannot be listed
	again time.Duration            // Mono of the next look
}

// slumber returns when the hub is wanted: by a request, another host, a timer, the bucket,
// or because it stops.
func (h *Hub) slumber() {
	s := &sleeper{h: h, again: h.opts.Sched.Mono() + settleFor*h.helloEvery()}
	for h.ctx.Err() == nil {
		h.mu.Lock()
		h.news = h.opts.Sched.NewSignal()
		news, wanted := h.news, h.sleep.roused || h.stopping
		due, left := h.untilDue()
		h.mu.Unlock()
		if wanted || due && left <= 0 {
			break
		}
		look := s.again - h.opts.Sched.Mono()
		if look <= 0 {
			if s.glance() {
				break
			}
			continue
		}
		if due {
			look = min(look, left)
		}
		wait, done := h.opts.Sched.WithTimeout(h.ctx, look)
		_ = news.Wait(wait)
		done()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sleep.asleep, h.sleep.dozing = false, nil
	for _, m := range h.members {
		m.met = h.opts.Sched.Mono() // they are told, and may take a while to wake
	}
	if !h.stopping {
		h.opts.Log.Info("the hub wakes", "hub", h.opts.Name, "asked", h.sleep.roused)
	}
}

// untilDue is how long it is until some partition has to be served. Called with the lock
// held.
func (h *Hub) untilDue() (due bool, left time.Duration) {
	now := h.opts.Sched.Now().UnixNano()
	for n := range h.parts {
		x := &h.parts[n]
		if !x.resting || x.wakeAt == 0 {
			continue
		}
		if d := time.Duration(x.wakeAt - now); !due || d < left {
			due, left = true, d
		}
	}
	return due, left
}

// glance looks into the bucket and says whether the hub has to wake: somebody owns a
// partition, and needs to be watched.
func (s *sleeper) glance() (wake bool) {
	h := s.h
	ctx, cancel := h.opts.Sched.WithTimeout(h.ctx, glanceTimeout)
	defer cancel()
	requests := 0
	changed, err := s.sessionsChanged(ctx, &requests)
	for n := range h.parts {
		if err != nil || wake {
			break
		}
		if x := h.share(n); changed || !x.resting {
			requests++
			wake, err = s.readRoot(ctx, n)
		}
	}
	if err != nil && h.ctx.Err() == nil {
		h.opts.Log.Warn("the sleeping hub cannot be looked after", "hub", h.opts.Name, "error", err)
		s.again = h.opts.Sched.Mono() + glanceAgain
		return false
	}
	s.again = h.opts.Sched.Mono() + glanceEvery*time.Duration(min(max(requests, 1), glanceCosts))
	return wake
}

// sessionsChanged says whether another host took part in the hub since the last look. A
// register that cannot be listed is looked at by one root after another.
func (s *sleeper) sessionsChanged(ctx context.Context, requests *int) (bool, error) {
	h := s.h
	if h.opts.Register != nil {
		n := s.turn % len(h.parts)
		if s.turn++; s.turn == 1 || !h.share(n).resting {
			return false, nil // the first look; those that are not known are read anyhow
		}
		*requests++
		before := h.share(n).epoch
		_, err := s.readRoot(ctx, n)
		return h.share(n).epoch != before || !h.share(n).resting, err
	}
	*requests++
	now := map[string]storage.Entry{}
	changed := false
	for e, err := range h.opts.Store.List(ctx, layout.SessionPrefix, "") {
		if err != nil {
			return false, err
		}
		before, known := s.seen[e.Key]
		changed = changed || !known || before.Tag != e.Tag || !before.Modified.Equal(e.Modified)
		now[e.Key] = e
	}
	changed = changed && s.seen != nil
	s.seen = now
	return changed, nil
}

// readRoot finds out when partition n has to be served, and whether somebody owns it.
func (s *sleeper) readRoot(ctx context.Context, n int) (owned bool, err error) {
	h := s.h
	root, _, err := h.bucket(n).ReadRoot(ctx)
	var corrupt *partition.CorruptError
	if errors.As(err, &corrupt) {
		return true, nil // awake the hub parks it and names it, and looks after the others
	}
	if err != nil || root == nil {
		return root == nil && err == nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &h.parts[n]
	if root.Owner != "" {
		x.resting, x.epoch = false, max(x.epoch, root.Epoch)
		return true, nil
	}
	if root.Epoch > x.epoch || !x.resting {
		h.release(n, root.Epoch, false)
		h.parts[n].owner = ""
		h.rest(n, root.WakeAt, h.lateness())
	}
	return false, nil
}

// forgetSession deletes the object of a session that ended in order, in which no root was
// left: a hub that wakes every few minutes would leave one each time.
func (h *Hub) forgetSession(session *lease.Session) {
	if h.opts.Register != nil {
		return // a register has no deletion
	}
	ctx, cancel := h.opts.Sched.WithTimeout(h.ctx, glanceTimeout)
	defer cancel()
	if err := h.opts.Store.Delete(ctx, layout.SessionPrefix+session.ID()); err != nil && ctx.Err() == nil {
		h.opts.Log.Debug("an ended session is left", "hub", h.opts.Name, "session", session.ID(), "error", err)
	}
}
