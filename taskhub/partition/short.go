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
	queue []sent                          // by time; those that ended meanwhile are skipped
	mean  map[work.Function]time.Duration // of each activity function, moving
}

type sent struct {
	serial uint64
	f      work.Function
	at     time.Duration
}

func (s *shortWorkOut) add(it *work.Item, now time.Duration) {
	if s.out == nil {
		s.out, s.mean = map[uint64]sent{}, map[work.Function]time.Duration{}
	}
	item := sent{serial: it.Token.Serial, f: it.Function(), at: now}
	s.out[item.serial] = item
	if it.Kind.Replayed() || s.mean[item.f] <= shortWork {
		s.queue = append(s.queue, item)
	}
}

func (s *shortWorkOut) end(t work.Token, now time.Duration) {
	item, ok := s.out[t.Serial]
	if !ok {
		return
	}
	delete(s.out, t.Serial)
	if !item.f.Kind.Replayed() {
		mean := s.mean[item.f]
		s.mean[item.f] = mean + (now-item.at-mean)/8
	}
}

// any reports whether short work is out that is young enough to be about to end.
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
