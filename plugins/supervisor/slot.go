package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Back-off of restarts.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
	healthyAfter = time.Minute
)

// backoff is how long to wait before the next start of an app that ended.
type backoff struct{ next time.Duration }

// after gives the wait after a run of the given length, and doubles the next one
// unless that run was long enough to call the app healthy.
func (b *backoff) after(ran time.Duration) time.Duration {
	if b.next == 0 || ran >= healthyAfter {
		b.next = backoffFirst
	}
	d := b.next
	b.next = min(2*b.next, backoffMost)
	return d
}

// slot is one app name of the directory. Its goroutine is the only one that
// starts, replaces and unloads its processes; others leave it a note.
type slot struct {
	sup  *Supervisor
	name string
	log  hclog.Logger

	tried chan struct{} // closed after the first attempt to load

	mu      sync.Mutex // of the note
	wake    chan struct{}
	want    *candidate
	removed bool

	// Of the goroutine alone.
	bin       *binary // what a restart runs
	back      backoff
	restartAt <-chan time.Time
	missed    candidate // failed to load for a reason that may pass
	missBack  backoff
	loadAt    <-chan time.Time // when missed is tried again

	// Guarded by sup.mu.
	order    int // of loading; 0: not loaded yet
	position int // among the apps found at the start; 0: found later
	proc     *process
	status   AppStatus
}

// offer tells the slot of a new or changed file.
func (s *slot) offer(c candidate) {
	s.mu.Lock()
	s.want, s.removed = &c, false
	s.mu.Unlock()
	s.notify()
}

// remove tells the slot that its file is gone.
func (s *slot) remove() {
	s.mu.Lock()
	s.want, s.removed = nil, true
	s.mu.Unlock()
	s.notify()
}

func (s *slot) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *slot) note() (c *candidate, removed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, removed = s.want, s.removed
	s.want = nil
	return c, removed
}

// run serves the slot until ctx ends, when the supervisor stops its process, or
// until the app has been removed.
func (s *slot) run(ctx context.Context) {
	for {
		var ended <-chan struct{}
		if p := s.process(); p != nil {
			ended = p.done
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			c, removed := s.note()
			if removed && s.sup.forget(s) {
				s.unload()
				return
			}
			if c != nil {
				s.missBack = backoff{}
				s.load(ctx, *c)
			}
		case <-s.loadAt:
			s.loadAt = nil
			if s.missed.unchanged() { // otherwise it is offered when it has come to rest
				s.load(ctx, s.missed)
			}
		case <-ended:
			s.ended()
		case <-s.restartAt:
			s.restartAt = nil
			s.restart(ctx)
		}
	}
}

func (s *slot) process() *process {
	s.sup.mu.Lock()
	defer s.sup.mu.Unlock()
	return s.proc
}

// load brings c up beside what runs and swaps it in; a failure changes nothing but
// the last error.
func (s *slot) load(ctx context.Context, c candidate) {
	defer s.markTried()
	s.loadAt = nil
	bin, err := s.sup.runs.prepare(c)
	if err != nil {
		s.failed(c, err)
		return
	}
	old := s.process()
	if old != nil && s.bin.same(bin) {
		bin.discard() // touched or copied again: nothing to do
		s.sup.change(func() { s.status.LastError = nil })
		return
	}
	if s.bin == nil && s.missBack == (backoff{}) { // a failure stays visible while it is tried again
		s.sup.change(func() { s.status.State = Starting })
	}
	p, err := s.sup.launch(ctx, bin)
	if err != nil {
		bin.discard()
		if ctx.Err() == nil {
			s.failed(c, err)
		}
		return
	}
	replaced := s.bin
	s.bin, s.restartAt, s.back = bin, nil, backoff{}
	s.running(p, false)
	s.log.Info("app loaded", "plugin", s.name, "pid", p.pid, "version", p.desc.GetAppVersion(),
		"functions", len(p.functions), "elapsed", time.Since(p.started))
	switch {
	case old != nil:
		s.sup.retire(old)
	case replaced != nil:
		replaced.discard()
	}
}

// failed notes that c did not load. What ran keeps running, or keeps trying to restart;
// a start that was slow, or killed, or met a full disk, gets another chance beside it.
func (s *slot) failed(c candidate, err error) {
	if worthRetrying(err) {
		wait := s.missBack.after(0)
		s.missed, s.loadAt = c, time.After(wait)
		s.log.Error("app not loaded", "plugin", s.name, "error", err, "retry", wait)
	} else {
		s.log.Error("app not loaded", "plugin", s.name, "error", err)
	}
	s.sup.change(func() {
		s.status.LastError = err
		if s.bin == nil {
			s.status.State = Failed
		}
	})
}

// ended handles a process that ended by itself: the same copy is started again.
func (s *slot) ended() {
	p := s.process()
	wait := s.back.after(time.Since(p.started))
	s.log.Error("app ended", "plugin", s.name, "pid", p.pid, "error", p.exit, "restart", wait)
	s.sup.change(func() {
		s.proc = nil
		s.status.State = Restarting
		s.status.LastError = p.exit
		s.status.PID = 0
	})
	s.restartAt = time.After(wait)
}

// restart starts the copy again that ran before.
func (s *slot) restart(ctx context.Context) {
	p, err := s.sup.launch(ctx, s.bin)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		wait := s.back.after(0)
		s.log.Error("app not restarted", "plugin", s.name, "error", err, "restart", wait)
		s.restartAt = time.After(wait)
		s.sup.change(func() { s.status.LastError = err })
		return
	}
	s.running(p, true)
	s.log.Info("app restarted", "plugin", s.name, "pid", p.pid, "elapsed", time.Since(p.started))
}

// running publishes p as the app's process, in one step with its functions.
func (s *slot) running(p *process, restarted bool) {
	s.sup.change(func() {
		var last error
		restarts := s.status.Restarts
		if restarted {
			last = s.status.LastError // the crash stays visible
			restarts++
		}
		if s.order == 0 {
			s.order = s.sup.nextOrder(s)
		}
		s.proc = p
		s.status = AppStatus{
			Name: s.name, File: p.bin.file, PID: p.pid, State: Running,
			AppName: p.desc.GetAppName(), Version: p.desc.GetAppVersion(),
			SDK: p.desc.GetSdk(), SDKVersion: p.desc.GetSdkVersion(),
			Started: p.started, LastError: last, Restarts: restarts,
			Functions: p.functions,
		}
	})
	s.sup.mu.Lock()
	started := s.sup.started
	s.sup.mu.Unlock()
	if started { // otherwise Start reports, when it is known who serves what
		s.report()
	}
}

// report logs the functions that are not served.
func (s *slot) report() {
	s.sup.mu.Lock()
	fns := s.sup.judgedLocked(s)
	s.sup.mu.Unlock()
	for _, f := range fns {
		if f.Err != nil {
			s.log.Error("function not loaded", "plugin", s.name, "function", f.Name, "error", f.Err)
		}
	}
}

// unload lets the process of a removed app finish.
func (s *slot) unload() {
	s.markTried()
	s.log.Info("app unloaded", "plugin", s.name)
	p := s.process()
	s.sup.change(func() { s.proc = nil })
	switch {
	case p != nil:
		s.sup.retire(p)
	case s.bin != nil:
		s.bin.discard()
	}
}

func (s *slot) markTried() {
	select {
	case <-s.tried:
	default:
		close(s.tried)
	}
}
