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
	mu         sync.Mutex
	episodes   []*protocol.OrchestratorResult
	activities []*protocol.ActivityResult
	send       func(*protocol.AppFrame) error // nil: run has not begun, or has ended
	sent       func(items int)
	sending    bool // somebody is in round: send bears one at a time
	closing    bool
	wake       chan struct{} // holds one token when there may be something for run

	// Of whoever is sending.
	frame           protocol.AppFrame
	spareEpisodes   []*protocol.OrchestratorResult
	spareActivities []*protocol.ActivityResult
}

func newSender() *sender { return &sender{wake: make(chan struct{}, 1)} }

// episode queues the answer of an episode; last says that nothing else is out.
func (s *sender) episode(r *protocol.OrchestratorResult, last bool) {
	s.mu.Lock()
	s.episodes = append(s.episodes, r)
	s.mu.Unlock()
	s.dispatch(last)
}

// activity queues the answer of an activity; last says that nothing else is out.
func (s *sender) activity(r *protocol.ActivityResult, last bool) {
	s.mu.Lock()
	s.activities = append(s.activities, r)
	s.mu.Unlock()
	s.dispatch(last)
}

// finish makes run return once everything queued is sent.
func (s *sender) finish() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.poke()
}

func (s *sender) poke() {
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
		here = len(s.episodes)+len(s.activities) == 0 && !s.closing && s.send != nil
		s.mu.Unlock()
	}
	if !here {
		s.poke()
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
		over := s.closing && !s.sending && len(s.episodes)+len(s.activities) == 0
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

// round sends what is queued, and says whether that was anything. Nothing is when somebody
// else is sending: that one looks again, or pokes run.
func (s *sender) round() (any bool, err error) {
	s.mu.Lock()
	episodes, activities, send := s.episodes, s.activities, s.send
	if s.sending || send == nil || len(episodes)+len(activities) == 0 {
		s.mu.Unlock()
		return false, nil
	}
	s.sending = true
	s.episodes, s.activities = s.spareEpisodes[:0], s.spareActivities[:0]
	s.mu.Unlock()

	es, as := episodes, activities
	for err == nil && len(es)+len(as) > 0 {
		es, as = fill(&s.frame, es, as)
		n := len(s.frame.Orchestrators) + len(s.frame.Activities)
		if err = send(&s.frame); err == nil {
			recycle(&s.frame)
			s.sent(n)
		}
	}
	clear(episodes)
	clear(activities)

	s.mu.Lock()
	s.spareEpisodes, s.spareActivities = episodes, activities
	s.sending = false
	s.mu.Unlock()
	return true, err
}

// fill moves what fits from the queues into frame, at least one item, and grants
// a credit for each item that it answers.
func fill(frame *protocol.AppFrame, es []*protocol.OrchestratorResult, as []*protocol.ActivityResult) ([]*protocol.OrchestratorResult, []*protocol.ActivityResult) {
	bytes, items := 0, 0
	fits := func(n int) bool {
		if items > 0 && (items == maxFrameItems || bytes+n > maxFrameBytes) {
			return false
		}
		items++
		bytes += n
		return true
	}
	for len(es) > 0 && fits(es[0].SizeVT()) {
		frame.Orchestrators = append(frame.Orchestrators, es[0])
		es = es[1:]
	}
	for len(as) > 0 && fits(as[0].SizeVT()) {
		frame.Activities = append(frame.Activities, as[0])
		as = as[1:]
	}
	frame.OrchestratorCredit = uint32(len(frame.Orchestrators))
	frame.ActivityCredit = uint32(len(frame.Activities))
	return es, as
}

var (
	episodeResults  = sync.Pool{New: func() any { return new(protocol.OrchestratorResult) }}
	activityResults = sync.Pool{New: func() any { return new(protocol.ActivityResult) }}
)

// recycle empties a frame that was sent. Fields are cleared one by one: Reset
// would clear protobuf's own state as well, which costs more.
func recycle(frame *protocol.AppFrame) {
	for i, r := range frame.Orchestrators {
		r.Work, r.HistoryNeeded, r.Actions, r.CustomStatus, r.NonDeterminism = 0, false, nil, nil, nil
		episodeResults.Put(r)
		frame.Orchestrators[i] = nil
	}
	for i, r := range frame.Activities {
		r.Work, r.Result, r.Failure = 0, nil, nil
		activityResults.Put(r)
		frame.Activities[i] = nil
	}
	frame.Orchestrators, frame.Activities = frame.Orchestrators[:0], frame.Activities[:0]
	frame.OrchestratorCredit, frame.ActivityCredit = 0, 0
}
