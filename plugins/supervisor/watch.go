package supervisor

import (
	"errors"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch turns events of the directory into looks at it. A look costs a few stats,
// and only the look decides: events get lost, doubled and out of order.
func (s *Supervisor) watch(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	defer w.Close()
	pause := max(s.opt.Settle/3, time.Millisecond)
	timer := time.NewTimer(pause) // files may have changed since Start looked
	defer timer.Stop()
	armed := true
	for {
		select {
		case <-s.life.Done():
			return
		case _, ok := <-w.Events:
			if !ok {
				return
			}
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) { // the next look sees it all
				s.opt.Log.Warn("watching the functions directory", "error", err)
			}
		case <-timer.C:
			armed = s.scan(w, false)
			if armed {
				timer.Reset(pause)
			}
			continue
		}
		if !armed {
			armed = true
			timer.Reset(pause)
		}
	}
}

// scan looks at the directory once and tells the slots. It reports whether to look
// again soon, because something has not come to rest.
func (s *Supervisor) scan(w *fsnotify.Watcher, first bool) (moving bool) {
	found, err := look(s.opt.Dir)
	if err != nil {
		// Unreadable for a moment, or an unmounted volume: the apps go on.
		s.opt.Log.Error("functions directory cannot be read", "error", err)
		return false
	}
	if w != nil {
		s.watchFolders(w)
	}
	ready, gone, moving := s.list.update(time.Now(), found, first)
	// Under the lock: a slot must not leave between being found and being told.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range ready {
		s.slotLocked(c, first).offer(c)
	}
	for _, name := range gone {
		if sl := s.slots[name]; sl != nil {
			sl.remove()
		}
	}
	return moving
}

func (s *Supervisor) slotLocked(c candidate, first bool) *slot {
	if sl := s.slots[c.name]; sl != nil {
		return sl
	}
	sl := &slot{
		sup: s, name: c.name, log: s.opt.Log,
		wake: make(chan struct{}, 1), tried: make(chan struct{}),
		status: AppStatus{Name: c.name, File: c.file, State: Starting},
	}
	if first {
		sl.position = len(s.slots) + 1
	}
	s.slots[c.name] = sl
	s.tasks.Go(func() { sl.run(s.life) })
	return sl
}

// watchFolders watches the folders of apps too. Adding one again changes nothing,
// and a removed folder leaves by itself.
func (s *Supervisor) watchFolders(w *fsnotify.Watcher) {
	dirs, err := folders(s.opt.Dir)
	if err != nil {
		return
	}
	have := w.WatchList()
	for _, d := range dirs {
		if slices.Contains(have, d) {
			continue
		}
		if err := w.Add(d); err != nil {
			s.opt.Log.Warn("folder is not watched", "file", d, "error", err)
		}
	}
}
