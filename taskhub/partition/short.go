package partition

import (
	"time"

	"github.com/durafunc/durafunc/taskhub/work"
)

// shortWorkOut knows the work items that are out and can be expected back at once:
// episodes, and activities of functions that have been short so far. A commit waits a
// moment for them; a slow activity never delays anybody.
type shortWorkOut struct {
	out   map[uint64]sent
	queue []sent                   // by time; those that ended meanwhile are skipped
	mean  map[string]time.Duration // of each activity function, moving
}

type sent struct {
	serial uint64
	name   string // of an activity; "" for an episode
	at     time.Duration
}

func (s *shortWorkOut) add(t work.Token, name string, now time.Duration) {
	if s.out == nil {
		s.out, s.mean = map[uint64]sent{}, map[string]time.Duration{}
	}
	item := sent{serial: t.Serial, name: name, at: now}
	s.out[t.Serial] = item
	if name == "" || s.mean[name] <= shortWork {
		s.queue = append(s.queue, item)
	}
}

func (s *shortWorkOut) end(t work.Token, now time.Duration) {
	item, ok := s.out[t.Serial]
	if !ok {
		return
	}
	delete(s.out, t.Serial)
	if item.name != "" {
		mean := s.mean[item.name]
		s.mean[item.name] = mean + (now-item.at-mean)/8
	}
}

// any says whether short work is out that is young enough to be about to end.
func (s *shortWorkOut) any(now time.Duration) bool {
	n := 0
	for ; n < len(s.queue); n++ {
		item := s.queue[n]
		if _, out := s.out[item.serial]; out && now-item.at < shortAge {
			break
		}
	}
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return len(s.queue) > 0
}
