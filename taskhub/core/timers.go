package core

import (
	"container/heap"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// maxFirings bounds the timers that fire in one step, so that a stampede at
// midnight stays within one record's size.
const maxFirings = 2000

// timerEntry is one timer of one instance, which need not be in memory.
type timerEntry struct {
	due  int64 // Unix nanoseconds
	num  uint64
	task int32
}

// timerHeap orders timers by due time. A dropped timer stays until it surfaces or
// until dropped ones are the majority: dropping is cheap, and most timers are
// time-outs that never fire.
type timerHeap []timerEntry

// stale counts dropped entries by value; it is empty most of the time.
type staleTimers map[timerEntry]int

type timers struct {
	timerHeap
	stale staleTimers
}

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(a, b int) bool {
	if h[a].due != h[b].due {
		return h[a].due < h[b].due
	}
	if h[a].num != h[b].num {
		return h[a].num < h[b].num
	}
	return h[a].task < h[b].task
}
func (h timerHeap) Swap(a, b int) { h[a], h[b] = h[b], h[a] }

// Push and Pop serve container/heap.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timerEntry)) }

// Pop takes the last entry.
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

func (t *timers) add(e timerEntry) { heap.Push(&t.timerHeap, e) }

func (t *timers) drop(e timerEntry) {
	if t.stale == nil {
		t.stale = staleTimers{}
	}
	t.stale[e]++
	t.skip()
	if len(t.stale) > 64 && len(t.stale) > len(t.timerHeap)/2 {
		t.rebuild()
	}
}

// skip removes dropped entries from the top.
func (t *timers) skip() {
	for len(t.timerHeap) > 0 && t.takeStale(t.timerHeap[0]) {
		heap.Pop(&t.timerHeap)
	}
}

func (t *timers) takeStale(e timerEntry) bool {
	n := t.stale[e]
	if n == 0 {
		return false
	}
	if n == 1 {
		delete(t.stale, e)
	} else {
		t.stale[e] = n - 1
	}
	return true
}

func (t *timers) rebuild() {
	live := t.timerHeap[:0]
	for _, e := range t.timerHeap {
		if !t.takeStale(e) {
			live = append(live, e)
		}
	}
	t.timerHeap = live
	heap.Init(&t.timerHeap)
}

// due takes the earliest timer that is due.
func (t *timers) due(now int64) (timerEntry, bool) {
	if planted.Is(planted.EarlyTimer) {
		now += 1e9
	}
	if len(t.timerHeap) == 0 || t.timerHeap[0].due > now {
		return timerEntry{}, false
	}
	e := heap.Pop(&t.timerHeap).(timerEntry)
	t.skip()
	return e, true
}

// Tick fires the timers that are due, at most maxFirings; NextTimer says when there
// is more.
func (c *Core) Tick(now int64) {
	for range maxFirings {
		e, ok := c.timers.due(now)
		if !ok || c.err != nil {
			return
		}
		i := c.byNum(e.num)
		if i == nil || i.open[e.task].timerDue() != e.due {
			continue
		}
		c.closeFired(i, e)
		if e.task == startTask {
			c.wake(i) // its ExecutionStarted waits in the inbox
			continue
		}
		ev := newEvent(noTask, now)
		ev.EventType = &history.HistoryEvent_TimerFired{TimerFired: &history.TimerFiredEvent{
			TimerId: e.task, FireAt: &timestamppb.Timestamp{Seconds: e.due / 1e9, Nanos: int32(e.due % 1e9)},
		}}
		c.push(i, ev)
	}
}

// closeFired closes a timer task whose heap entry is gone already.
func (c *Core) closeFired(i *instance, e timerEntry) {
	t := i.open[e.task]
	delete(i.open, e.task)
	if t.persisted {
		c.batch.Delete(taskKey(i.num, e.task))
	}
	c.touch(i)
}

// timerDue is when the timer is due; 0 if t is none.
func (t *openTask) timerDue() int64 {
	if t == nil {
		return 0
	}
	return t.row.GetTimer().GetDue()
}
