package sched_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// TestLoopRunsEachPostOnce posts bursts from inside bursts, after pauses in which the
// queue ran empty: its two arrays must never be one.
func TestLoopRunsEachPostOnce(t *testing.T) {
	const rounds, posts, inner = 50, 20, 3
	l := sched.Real().NewLoop(func() {})
	defer l.Close()
	for range rounds {
		var (
			ran  [posts * inner]atomic.Int32
			done sync.WaitGroup
		)
		done.Add(len(ran))
		l.Post(func() {
			for i := range posts {
				l.Post(func() {
					for k := range inner {
						l.Post(func() {
							ran[i*inner+k].Add(1)
							done.Done()
						})
					}
				})
			}
		})
		done.Wait()
		for i := range ran {
			if n := ran[i].Load(); n != 1 {
				t.Fatalf("post %d ran %d times", i, n)
			}
		}
	}
}

// TestLoopRunLendsItsGoroutine: at rest a Run is over when it returns; beside a burst that
// is under way it waits for its turn like a Post, and never runs beside it.
func TestLoopRunLendsItsGoroutine(t *testing.T) {
	var inside atomic.Int32
	alone := func() {
		if inside.Add(1) != 1 {
			t.Error("two run in the loop at a time")
		}
		inside.Add(-1)
	}
	l := sched.Real().NewLoop(alone)
	defer l.Close()
	here := false
	l.Run(func() { here = true })
	if !here {
		t.Fatal("Run of a loop at rest came back before it had run")
	}
	began, goOn, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
	l.Post(func() { close(began); <-goOn })
	<-began
	l.Run(func() { close(second) })
	select {
	case <-second:
		t.Fatal("Run ran beside a burst")
	default:
	}
	close(goOn)
	<-second

	const callers, calls = 8, 500
	var wg, ran sync.WaitGroup
	ran.Add(callers * calls)
	for n := range callers {
		wg.Go(func() {
			for i := range calls {
				post := l.Run
				if (n+i)%3 == 0 {
					post = l.Post
				}
				post(func() { alone(); ran.Done() })
			}
		})
	}
	wg.Wait()
	ran.Wait()
}
