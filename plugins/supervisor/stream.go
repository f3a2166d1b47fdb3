package supervisor

import (
	"sync"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/protocol/fifo"
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
	lanes       [protocol.Kinds]lane
	cancels     []uint64
	evict       []string
	hostService uint32 // to be told in the first frame
	drain       bool   // to be told
	opened      bool   // the first frame has been taken
	draining    bool
	closed      bool
	out         map[uint64]struct{}
}

// lane is what waits of one kind, and how much of it the app takes.
type lane struct {
	queue  fifo.Queue[protocol.Work]
	credit int // that is left
}

// ready reports whether something may be sent.
func (l *lane) ready() bool { return l.queue.Len() > 0 && l.credit > 0 }

func newStream(h Handler, hostServices uint32) *stream {
	s := &stream{
		handler: h, hostService: hostServices,
		wake: make(chan struct{}, 1), drained: make(chan struct{}),
		out: make(map[uint64]struct{}),
	}
	s.notify() // the first frame leaves even without work
	return s
}

func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// send takes all of f, or nothing and says false: the app takes no more work.
// Cancels and evictions are taken until the end.
func (s *stream) send(f *protocol.HostFrame) bool {
	s.mu.Lock()
	if s.closed || s.draining && f.Len() > 0 {
		s.mu.Unlock()
		return false
	}
	for w := range f.Items() {
		s.lanes[w.Kind()].queue.Push(w)
	}
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
	s.notify()
	return true
}

// mayWrite reports whether what waits is a lone item that can be written without blocking. A
// write blocks when 64 KiB or more are queued in the transport (its write quota); nothing is
// when the app has read what was sent before. The sender is better for all else: it lets
// items gather while it sends.
func (s *stream) mayWrite() bool {
	return s.write != nil && !s.writing && !s.unread && !s.closed && !s.draining &&
		s.queued() == 1 && len(s.cancels)+len(s.evict) == 0
}

// queued is how many items wait.
func (s *stream) queued() (n int) {
	for k := range s.lanes {
		n += s.lanes[k].queue.Len()
	}
	return n
}

// ready reports whether an item may be sent.
func (s *stream) ready() bool {
	for k := range s.lanes {
		if s.lanes[k].ready() {
			return true
		}
	}
	return false
}

// writeOut writes the frame. The lock is held before and after, not meanwhile.
func (s *stream) writeOut() error {
	s.writing = true
	s.mu.Unlock()
	err := s.write(&s.frame)
	s.mu.Lock()
	s.writing = false
	s.frame.Clear()
	if s.waiting() {
		s.notify() // it may have come while the sender found somebody writing
	}
	return err
}

// waiting reports whether there is something that could be sent.
func (s *stream) waiting() bool {
	return s.ready() || len(s.cancels)+len(s.evict) > 0 || s.drain || s.draining
}

// fill fills the frame with what may be sent now and reports whether it is worth sending.
// unsent lists items that will not be sent: cancelled while they waited for
// credit, or overtaken by a drain.
func (s *stream) fill() (unsent []uint64, ok bool) {
	f := &s.frame
	f.Clear()
	f.Cancels, f.Evict, f.Drain, f.HostServices = nil, nil, false, 0
	if s.closed {
		return nil, false
	}
	if s.draining {
		unsent = s.unsentLocked()
	} else if len(s.cancels) > 0 {
		unsent = s.dropCancelledLocked()
	}
	if !s.opened {
		s.opened, ok, f.HostServices = true, true, s.hostService
	}
	last := s.fillItems()
	f.Cancels, s.cancels = s.cancels, nil
	f.Evict, s.evict = s.evict, nil
	f.Drain, s.drain = s.drain, false
	ok = ok || f.Len() > 0 || len(f.Cancels) > 0 || len(f.Evict) > 0 || f.Drain
	if ok {
		s.unread, s.lastWork = true, last
	}
	return unsent, ok
}

// fillItems moves into the frame what fits and is covered by credit. It returns the number
// of the last item, 0 without one: they begin with 1.
func (s *stream) fillItems() (last uint64) {
	items, bytes := 0, 0
	for k := range s.lanes {
		l := &s.lanes[k]
		n := 0
		for _, w := range l.queue.Items() {
			size := w.PayloadBytes()
			if n == l.credit || items == frameItems || items > 0 && bytes+size > frameBytes {
				break
			}
			last = w.GetWork()
			s.frame.Add(w)
			s.out[last] = struct{}{}
			n, items, bytes = n+1, items+1, bytes+size
		}
		l.queue.Shift(n)
		l.credit -= n
	}
	return last
}

// dropCancelledLocked removes items from the queues that a cancel names: the app has never
// heard of them.
func (s *stream) dropCancelledLocked() (dropped []uint64) {
	if s.queued() == 0 {
		return nil
	}
	cancelled := make(map[uint64]bool, len(s.cancels))
	for _, id := range s.cancels {
		cancelled[id] = true
	}
	for k := range s.lanes {
		s.lanes[k].queue.Filter(func(w protocol.Work) bool {
			id := w.GetWork()
			if cancelled[id] {
				dropped = append(dropped, id)
			}
			return !cancelled[id]
		})
	}
	return dropped
}

func (s *stream) unsentLocked() (ids []uint64) {
	for k := range s.lanes {
		q := &s.lanes[k].queue
		for _, w := range q.Items() {
			ids = append(ids, w.GetWork())
		}
		q.Clear()
	}
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
	for k := range s.lanes {
		l := &s.lanes[k]
		l.credit = int(min(uint64(l.credit)+uint64(f.Credit(protocol.Kind(k))), most))
	}
	before := f.Len()
	f.Keep(s.answeredLocked)
	more := s.ready()
	s.mu.Unlock()
	if more {
		s.notify()
	}
	answers := f.Len()
	if answers > 0 {
		s.handler.Results(f)
		s.mu.Lock()
		s.checkDrainedLocked()
		s.mu.Unlock()
	}
	return before - answers
}

func (s *stream) answeredLocked(r protocol.Result) bool {
	id := r.GetWork()
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
	s.notify()
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
