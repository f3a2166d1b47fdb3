package supervisor

import (
	"sync"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// A frame takes what is waiting up to these bounds; larger ones gain nothing
// (measured). One item above frameBytes travels alone.
const (
	frameItems = 64
	frameBytes = 1 << 20
)

// stream is the traffic with one process: what waits to be sent, the credit that
// the app granted, and the items that are out. Items beyond the credit wait here.
// No timers: whoever adds something wakes the sender, at most once per burst. Only
// for an item that comes alone, while nothing is on its way to the app, nobody is woken:
// whoever adds it sends it, which cannot block then, see mayWrite.
type stream struct {
	handler Handler
	wake    chan struct{} // capacity 1
	drained chan struct{} // closed when draining and nothing is out

	mu          sync.Mutex
	write       func(*protocol.HostFrame) error // nil until sendAll has begun
	writing     bool                            // somebody is in write, which bears one at a time
	frame       protocol.HostFrame              // of whoever is writing
	unread      bool                            // the app may not have read all frames
	lastWork    uint64                          // last item of the last frame; its answer shows that the app has
	episodes    fifo[*protocol.OrchestratorWork]
	activities  fifo[*protocol.ActivityWork]
	cancels     []uint64
	evict       []string
	hostService uint32 // to be told in the first frame
	drain       bool   // to be told
	opened      bool   // the first frame has been taken
	draining    bool
	closed      bool
	episodeRoom int // credit left
	activeRoom  int
	out         map[uint64]struct{}
}

func newStream(h Handler, hostServices uint32) *stream {
	s := &stream{
		handler: h, hostService: hostServices,
		wake: make(chan struct{}, 1), drained: make(chan struct{}),
		out: make(map[uint64]struct{}),
	}
	s.poke() // the first frame leaves even without work
	return s
}

func (s *stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// send takes all of f, or nothing and says false: the app takes no more work.
// Cancels and evictions are taken until the end.
func (s *stream) send(f *protocol.HostFrame) bool {
	s.mu.Lock()
	if s.closed || s.draining && len(f.Orchestrators)+len(f.Activities) > 0 {
		s.mu.Unlock()
		return false
	}
	s.episodes.push(f.Orchestrators)
	s.activities.push(f.Activities)
	s.cancels = append(s.cancels, f.Cancels...)
	s.evict = append(s.evict, f.Evict...)
	if s.mayWrite() {
		if _, ok := s.fill(); ok { // else its credit is yet to come
			_ = s.writeOut() // the receiver learns of an error
		}
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	s.poke()
	return true
}

// mayWrite says whether what waits is a lone item that can be written without blocking. A
// write blocks when 64 KiB or more are queued in the transport (its write quota); nothing is
// when the app has read what was sent before. The sender is better for all else: it lets
// items gather while it sends.
func (s *stream) mayWrite() bool {
	return s.write != nil && !s.writing && !s.unread && !s.closed && !s.draining &&
		s.episodes.len()+s.activities.len() == 1 && len(s.cancels)+len(s.evict) == 0
}

// writeOut writes the frame. The lock is held before and after, not meanwhile.
func (s *stream) writeOut() error {
	s.writing = true
	s.mu.Unlock()
	err := s.write(&s.frame)
	s.mu.Lock()
	s.writing = false
	clear(s.frame.Orchestrators)
	clear(s.frame.Activities)
	if s.waiting() {
		s.poke() // it may have come while the sender found somebody writing
	}
	return err
}

// waiting says whether there is something that could be sent.
func (s *stream) waiting() bool {
	return s.episodes.len() > 0 && s.episodeRoom > 0 || s.activities.len() > 0 && s.activeRoom > 0 ||
		len(s.cancels)+len(s.evict) > 0 || s.drain || s.draining
}

// fill fills the frame with what may be sent now and says whether it is worth sending.
// unsent lists items that will not be sent: cancelled while they waited for
// credit, or overtaken by a drain.
func (s *stream) fill() (unsent []uint64, ok bool) {
	f := &s.frame
	f.Orchestrators, f.Activities = f.Orchestrators[:0], f.Activities[:0]
	f.Cancels, f.Evict, f.Drain, f.HostServices = nil, nil, false, 0
	if s.closed {
		return nil, false
	}
	if s.draining {
		unsent = s.unsentLocked()
	} else if len(s.cancels) > 0 && s.activities.len() > 0 {
		unsent = s.dropCancelledLocked()
	}
	if !s.opened {
		s.opened, ok, f.HostServices = true, true, s.hostService
	}
	items, bytes := 0, 0
	n := 0
	for _, w := range s.episodes.items() {
		size := len(w.PastEvents) + len(w.NewEvents)
		if n == s.episodeRoom || items == frameItems || items > 0 && bytes+size > frameBytes {
			break
		}
		f.Orchestrators = append(f.Orchestrators, w)
		s.out[w.Work] = struct{}{}
		n, items, bytes = n+1, items+1, bytes+size
	}
	s.episodes.shift(n)
	s.episodeRoom -= n
	n = 0
	for _, w := range s.activities.items() {
		size := len(w.Input.GetValue())
		if n == s.activeRoom || items == frameItems || items > 0 && bytes+size > frameBytes {
			break
		}
		f.Activities = append(f.Activities, w)
		s.out[w.Work] = struct{}{}
		n, items, bytes = n+1, items+1, bytes+size
	}
	s.activities.shift(n)
	s.activeRoom -= n
	f.Cancels, s.cancels = s.cancels, nil
	f.Evict, s.evict = s.evict, nil
	f.Drain, s.drain = s.drain, false
	ok = ok || items > 0 || len(f.Cancels) > 0 || len(f.Evict) > 0 || f.Drain
	if ok {
		s.unread, s.lastWork = true, lastWork(f)
	}
	return unsent, ok
}

// lastWork is the number of the last item in f, 0 without one: they begin with 1.
func lastWork(f *protocol.HostFrame) uint64 {
	if n := len(f.Activities); n > 0 {
		return f.Activities[n-1].Work
	}
	if n := len(f.Orchestrators); n > 0 {
		return f.Orchestrators[n-1].Work
	}
	return 0
}

// dropCancelledLocked removes activities from the queue that a cancel names, and
// that cancel with them: the app has never heard of them.
func (s *stream) dropCancelledLocked() (dropped []uint64) {
	var cancelled = make(map[uint64]bool, len(s.cancels))
	for _, id := range s.cancels {
		cancelled[id] = true
	}
	s.activities.filter(func(w *protocol.ActivityWork) bool {
		if cancelled[w.Work] {
			dropped = append(dropped, w.Work)
		}
		return !cancelled[w.Work]
	})
	return dropped
}

func (s *stream) unsentLocked() []uint64 {
	var ids []uint64
	for _, w := range s.episodes.items() {
		ids = append(ids, w.Work)
	}
	for _, w := range s.activities.items() {
		ids = append(ids, w.Work)
	}
	s.episodes.shift(s.episodes.len())
	s.activities.shift(s.activities.len())
	return ids
}

// sendAll is the sender: it ends when write fails or done is closed.
func (s *stream) sendAll(write func(*protocol.HostFrame) error, done <-chan struct{}) {
	s.mu.Lock()
	s.write = write
	s.mu.Unlock()
	for {
		unsent, sent, err := s.sendNext()
		if len(unsent) > 0 {
			s.handler.Returned(unsent)
		}
		if err != nil {
			return // the receiver learns why
		}
		if sent {
			continue
		}
		select {
		case <-s.wake:
		case <-done:
			return
		}
	}
}

// sendNext sends one frame, unless there is nothing to send or somebody else is sending.
func (s *stream) sendNext() (unsent []uint64, sent bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		return nil, false, nil
	}
	if unsent, sent = s.fill(); sent {
		err = s.writeOut()
	}
	return unsent, sent, err
}

// received takes one frame of the app: credit, then results. It returns how many
// answers belonged to no item that is out.
func (s *stream) received(f *protocol.AppFrame) (unknown int) {
	s.mu.Lock()
	// An app that grants without bounds gets a bound far above any use.
	const most = 1 << 20
	s.episodeRoom = int(min(uint64(s.episodeRoom)+uint64(f.OrchestratorCredit), most))
	s.activeRoom = int(min(uint64(s.activeRoom)+uint64(f.ActivityCredit), most))
	before := len(f.Orchestrators) + len(f.Activities)
	episodes := f.Orchestrators[:0]
	for _, r := range f.Orchestrators {
		if s.answeredLocked(r.GetWork()) {
			episodes = append(episodes, r)
		}
	}
	activities := f.Activities[:0]
	for _, r := range f.Activities {
		if s.answeredLocked(r.GetWork()) {
			activities = append(activities, r)
		}
	}
	f.Orchestrators, f.Activities = episodes, activities
	more := s.episodes.len() > 0 && s.episodeRoom > 0 || s.activities.len() > 0 && s.activeRoom > 0
	s.mu.Unlock()
	if more {
		s.poke()
	}
	answers := len(episodes) + len(activities)
	if answers > 0 {
		s.handler.Results(f)
		s.mu.Lock()
		s.checkDrainedLocked()
		s.mu.Unlock()
	}
	return before - answers
}

func (s *stream) answeredLocked(id uint64) bool {
	if _, ok := s.out[id]; !ok {
		return false
	}
	delete(s.out, id)
	if id == s.lastWork {
		s.unread = false
	}
	return true
}

// startDrain stops the intake and asks the app to finish. It may be called twice.
func (s *stream) startDrain() {
	s.mu.Lock()
	if !s.draining && !s.closed {
		s.draining, s.drain = true, true
		s.checkDrainedLocked()
	}
	s.mu.Unlock()
	s.poke()
}

func (s *stream) checkDrainedLocked() {
	if !s.draining || len(s.out) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// close ends the traffic and gives what was neither sent nor answered.
func (s *stream) close() (unsent, lost []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	unsent = s.unsentLocked()
	for id := range s.out {
		lost = append(lost, id)
	}
	clear(s.out)
	return unsent, lost
}
