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
// next: no timers, one lock, at most one wake-up a burst.
type sender struct {
	mu         sync.Mutex
	episodes   []*protocol.OrchestratorResult
	activities []*protocol.ActivityResult
	closing    bool
	wake       chan struct{} // holds one token when there may be something new
}

func newSender() *sender { return &sender{wake: make(chan struct{}, 1)} }

func (s *sender) episode(r *protocol.OrchestratorResult) {
	s.mu.Lock()
	s.episodes = append(s.episodes, r)
	s.mu.Unlock()
	s.poke()
}

func (s *sender) activity(r *protocol.ActivityResult) {
	s.mu.Lock()
	s.activities = append(s.activities, r)
	s.mu.Unlock()
	s.poke()
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

// run sends frames until finish, done, or an error of send. sent hears how many
// items each frame held. The frame is reused: send must be through with it when
// it returns.
func (s *sender) run(done <-chan struct{}, send func(*protocol.AppFrame) error, sent func(items int)) error {
	var episodes []*protocol.OrchestratorResult
	var activities []*protocol.ActivityResult
	frame := &protocol.AppFrame{}
	for {
		s.mu.Lock()
		episodes, s.episodes = s.episodes, episodes[:0]
		activities, s.activities = s.activities, activities[:0]
		closing := s.closing
		s.mu.Unlock()
		if len(episodes)+len(activities) == 0 {
			if closing {
				return nil
			}
			select {
			case <-s.wake:
			case <-done:
				return nil
			}
			continue
		}
		es, as := episodes, activities
		for len(es)+len(as) > 0 {
			es, as = fill(frame, es, as)
			n := len(frame.Orchestrators) + len(frame.Activities)
			if err := send(frame); err != nil {
				return err
			}
			recycle(frame)
			sent(n)
		}
		clear(episodes)
		clear(activities)
	}
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
