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
