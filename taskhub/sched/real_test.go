package sched_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/sched"
)

// TestLoopRunsEachPostOnce posts from outside and from inside, with pauses in which the
// queue runs empty: its two arrays must never be one.
func TestLoopRunsEachPostOnce(t *testing.T) {
	const rounds, posts = 200, 20
	l := sched.Real().NewLoop(func() {})
	defer l.Close()
	for range rounds {
		var (
			ran  [2 * posts]atomic.Int32
			done sync.WaitGroup
		)
		done.Add(2 * posts)
		for i := range posts {
			l.Post(func() {
				ran[i].Add(1)
				l.Post(func() {
					ran[posts+i].Add(1)
					done.Done()
				})
				done.Done()
			})
		}
		done.Wait()
		for i := range ran {
			if n := ran[i].Load(); n != 1 {
				t.Fatalf("post %d ran %d times", i, n)
			}
		}
	}
}
