package durable

import (
	"sync"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Bounds of one frame of answers. A single bigger item is sent alone.
const (
	maxFrameItems = 64
	maxFrameBytes = 1 << 20
)

// sender gathers answers while a frame is being sent and sends whatever is there
// next: no timers, one lock, at most one wake-up a burst. The answer to the last item that
// was out finds nothing to share a frame with: whoever has it sends it, and wakes nobody.
type sender struct {
	mu      sync.Mutex
	queue   []protocol.Result
	send    func(*protocol.AppFrame) error // nil: run has not begun, or has ended
	sent    func(items int)
	sending bool // somebody is in round: send bears one at a time
	closing bool
	wake    chan struct{} // holds one token when there may be something for run

	// Of whoever is sending.
	frame protocol.AppFrame
	spare []protocol.Result // memory for the queue
}

func newSender() *sender { return &sender{wake: make(chan struct{}, 1)} }

// answer queues the answer of an item; last says that nothing else is out.
func (s *sender) answer(r protocol.Result, last bool) {
	s.mu.Lock()
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	s.dispatch(last)
}

// finish makes run return once everything queued is sent.
func (s *sender) finish() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.notify()
}

func (s *sender) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dispatch gets what was queued on its way: by run, or from here.
func (s *sender) dispatch(here bool) {
	if here {
		_, _ = s.round() // an error ends the stream, of which run learns
		s.mu.Lock()
		here = len(s.queue) == 0 && !s.closing && s.send != nil
		s.mu.Unlock()
	}
	if !here {
		s.notify()
	}
}

// run sends frames until finish, done, or an error of send. sent hears how many
// items each frame held. Frames are reused: send must be through with one when it
// returns, and is not called any more when run has returned.
func (s *sender) run(done <-chan struct{}, send func(*protocol.AppFrame) error, sent func(items int)) error {
	s.mu.Lock()
	s.send, s.sent = send, sent
	s.mu.Unlock()
	defer s.end()
	for {
		if any, err := s.round(); any || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		s.mu.Lock()
		over := s.closing && !s.sending && len(s.queue) == 0
		s.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-s.wake:
		case <-done:
			return nil
		}
	}
}

// end waits until nobody sends, and lets nobody begin.
func (s *sender) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = nil
	for s.sending {
		s.mu.Unlock()
		<-s.wake
		s.mu.Lock()
	}
}

// round sends what is queued, and reports whether that was anything. Nothing is when somebody
// else is sending: that one looks again, or pokes run.
func (s *sender) round() (any bool, err error) {
	s.mu.Lock()
	queue, send := s.queue, s.send
	if s.sending || send == nil || len(queue) == 0 {
		s.mu.Unlock()
		return false, nil
	}
	s.sending = true
	s.queue = s.spare[:0]
	s.mu.Unlock()

	for left := queue; err == nil && len(left) > 0; {
		left = fill(&s.frame, left)
		n := s.frame.Len()
		if err = send(&s.frame); err == nil {
			recycle(&s.frame)
			s.sent(n)
		}
	}
	clear(queue)

	s.mu.Lock()
	s.spare = queue
	s.sending = false
	s.mu.Unlock()
	return true, err
}

// fill moves what fits from the queue into frame, at least one item, and grants a credit
// for each item that it answers. It gives what is left.
func fill(frame *protocol.AppFrame, queue []protocol.Result) []protocol.Result {
	var credit [protocol.Kinds]uint32
	bytes, items := 0, 0
	for _, r := range queue {
		size := r.SizeVT()
		if items > 0 && (items == maxFrameItems || bytes+size > maxFrameBytes) {
			break
		}
		items, bytes = items+1, bytes+size
		frame.Add(r)
		credit[r.Kind()]++
	}
	grant(frame, credit)
	return queue[items:]
}

func grant(frame *protocol.AppFrame, credit [protocol.Kinds]uint32) {
	for k, n := range credit {
		frame.Grant(protocol.Kind(k), n)
	}
}

var (
	episodeResults    = sync.Pool{New: func() any { return new(protocol.OrchestratorResult) }}
	activityResults   = sync.Pool{New: func() any { return new(protocol.ActivityResult) }}
	invocationResults = sync.Pool{New: func() any { return new(protocol.InvocationResult) }}
)

// recycle empties a frame that was sent. Fields are cleared one by one: Reset
// would clear protobuf's own state as well, which costs more.
func recycle(frame *protocol.AppFrame) {
	for r := range frame.Results() {
		switch r := r.(type) {
		case *protocol.OrchestratorResult:
			r.Work, r.HistoryNeeded, r.Actions, r.CustomStatus, r.NonDeterminism = 0, false, nil, nil, nil
			episodeResults.Put(r)
		case *protocol.ActivityResult:
			r.Work, r.Result, r.Failure = 0, nil, nil
			activityResults.Put(r)
		case *protocol.InvocationResult:
			r.Work, r.Result, r.Failure = 0, nil, nil
			invocationResults.Put(r)
		}
	}
	frame.Clear()
	grant(frame, [protocol.Kinds]uint32{})
}
