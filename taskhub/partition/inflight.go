package partition

import (
	"context"
	"sync"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// inflight lets one wait until what runs beside the loop has come back.
type inflight struct {
	mu     sync.Mutex
	inside int
	empty  sched.Signal
}

func (f *inflight) enter(s sched.Scheduler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inside == 0 {
		f.empty = s.NewSignal()
	}
	f.inside++
}

func (f *inflight) leave() {
	f.mu.Lock()
	f.inside--
	if f.inside == 0 {
		f.empty.Fire()
	}
	f.mu.Unlock()
}

// wait returns when nothing is inside.
func (f *inflight) wait() {
	f.mu.Lock()
	empty := f.empty
	f.mu.Unlock()
	if empty != nil {
		_ = empty.Wait(context.Background()) // it is fired by whoever leaves last
	}
}
