package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/go-hclog"
)

// Supervisor owns the apps of one directory. Its methods may be called
// concurrently.
type Supervisor struct {
	opt  Options
	runs *runDir
	list debouncer // of the watcher

	life   context.Context // ends when Stop begins
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the watcher and the slots

	notify sync.Mutex // one OnChange at a time, in order

	mu       sync.Mutex
	slots    map[string]*slot
	owners   map[string]*slot // function key -> who serves it
	retiring map[*process]struct{}
	retired  sync.WaitGroup
	orders   int
	begun    bool
	started  bool          // all apps that were there at the start have been tried
	stopped  chan struct{} // closed when Stop is done; nil before it began
}

// New checks nothing and starts nothing.
func New(opt Options) *Supervisor {
	s := &Supervisor{
		opt:      opt.withDefaults(),
		slots:    make(map[string]*slot),
		owners:   make(map[string]*slot),
		retiring: make(map[*process]struct{}),
	}
	s.list = debouncer{debounce: s.opt.Settle, seen: make(map[string]*observation)}
	s.life, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *Supervisor) appLog(name string) hclog.Logger { return s.opt.Log.Named(name) }

// Start loads the apps of the directory and begins to watch it. It returns when
// each that was there has been tried, within two start timeouts at most; what
// could not be loaded is in Apps and in the log, not in the error.
func (s *Supervisor) Start(ctx context.Context) error {
	s.mu.Lock()
	if s.begun || s.stopped != nil {
		s.mu.Unlock()
		return errors.New("supervisor: started twice or after Stop")
	}
	s.begun = true
	s.mu.Unlock()

	if info, err := os.Stat(s.opt.Dir); err != nil {
		return fmt.Errorf("functions directory: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("functions directory: %s is not a directory", s.opt.Dir)
	}
	runs, err := newRunDir(s.opt.RunDir)
	if err != nil {
		return err
	}
	s.runs = runs
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(s.opt.Dir)
	}
	if err != nil {
		// The system's limit on watches must not keep the apps from running.
		s.opt.Log.Warn("functions directory is not watched: changes need a restart", "error", err)
	}

	// Files that are being copied in get the time to arrive.
	deadline := time.Now().Add(s.opt.StartTimeout)
	for s.scan(watcher, true) && time.Now().Before(deadline) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(s.opt.Settle / 3):
		}
	}
	s.mu.Lock()
	first := slices.Collect(maps.Values(s.slots))
	s.orders = len(first)
	s.mu.Unlock()
	s.tasks.Go(func() { s.watch(watcher) })
	for _, sl := range first {
		select {
		case <-sl.tried:
		case <-ctx.Done():
			return fmt.Errorf("supervisor: start: %w", context.Cause(ctx))
		}
	}
	s.change(func() { s.started = true })
	for _, sl := range first {
		sl.report()
	}
	return nil
}

// Stop drains the apps until ctx ends, then stops them. It may be called before
// Start, and twice.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	if s.stopped != nil {
		done := s.stopped
		s.mu.Unlock()
		<-done
		return nil
	}
	s.stopped = make(chan struct{})
	s.mu.Unlock()
	defer close(s.stopped)
	s.cancel()
	s.tasks.Wait() // nothing is started from here on

	var running []*process
	s.change(func() {
		for _, sl := range s.slots {
			if sl.proc != nil {
				running = append(running, sl.proc)
			}
			sl.proc, sl.status.State, sl.status.PID = nil, Stopped, 0
		}
		running = slices.AppendSeq(running, maps.Keys(s.retiring))
	})
	var wg sync.WaitGroup
	for _, p := range running {
		wg.Go(func() { p.stop(ctx) })
	}
	wg.Wait()
	s.retired.Wait()
	if s.runs == nil {
		return nil
	}
	if err := s.runs.remove(); err != nil {
		return fmt.Errorf("supervisor: stop: %w", err)
	}
	return nil
}

// change runs f under the lock, decides anew who serves what and tells the host.
func (s *Supervisor) change(f func()) {
	s.mu.Lock()
	f()
	s.assignLocked()
	s.mu.Unlock()
	s.notify.Lock()
	defer s.notify.Unlock()
	s.opt.OnChange()
}

// nextOrder numbers loaded apps. Those that were there at the start count by name,
// so that who wins a conflict does not depend on who starts faster.
func (s *Supervisor) nextOrder(sl *slot) int {
	if sl.position > 0 {
		return sl.position
	}
	s.orders++
	return s.orders
}

// retire lets p finish in its own time and drops its copy.
func (s *Supervisor) retire(p *process) {
	s.mu.Lock()
	s.retiring[p] = struct{}{}
	s.mu.Unlock()
	s.retired.Go(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), s.opt.DrainTimeout,
			errors.New("drain timeout"))
		defer cancel()
		p.stop(ctx)
		p.bin.discard()
		s.change(func() { delete(s.retiring, p) })
	})
}

// forget takes a removed slot out, unless its file has come back meanwhile; it reports
// whether it did.
func (s *Supervisor) forget(sl *slot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if !sl.removed {
		return false
	}
	delete(s.slots, sl.name)
	return true
}
