package partition

import (
	"context"
	"sync"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// gate lets one wait until what runs beside the loop has come back.
type gate struct {
	mu     sync.Mutex
	inside int
	empty  sched.Signal
}

func (g *gate) enter(s sched.Scheduler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside == 0 {
		g.empty = s.NewSignal()
	}
	g.inside++
}

func (g *gate) leave() {
	g.mu.Lock()
	g.inside--
	if g.inside == 0 {
		g.empty.Fire()
	}
	g.mu.Unlock()
}

// wait returns when nothing is inside.
func (g *gate) wait() {
	g.mu.Lock()
	empty := g.empty
	g.mu.Unlock()
	if empty != nil {
		_ = empty.Wait(context.Background()) // it is fired by whoever leaves last
	}
}
