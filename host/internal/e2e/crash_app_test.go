package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// redeployEvery is after how many kills of the app another build of it is deployed: an
// app that dies again and again is restarted later and later, and a new file is what
// ends that.
const redeployEvery = 4

// TestCrashApp kills the function app's process at random moments. The host starts it
// again and hands its work out again.
func TestCrashApp(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		plan, rng := planned(), seeded(t)
		root := deployed(t, s, provisioningApp, nil)
		h := root.Start(t)
		crew := newCrew(t, plan, rng)
		crew.serveBy(h)
		for life := range plan.kills {
			if life > 0 && life%redeployEvery == 0 {
				root.Deploy("app", hosttest.App(t, provisioningApp, fmt.Sprintf("main.build=%d", life)))
			}
			close(crew.waves[life])
			crew.sleep(t, time.Duration(rng.Int64N(int64(plan.life))))
			var pids []int
			hosttest.Until(t, "the app runs", func() bool {
				pids = h.AppPIDs()
				return len(pids) > 0
			})
			h.KillApp(pids[rng.IntN(len(pids))])
		}
		close(crew.waves[plan.kills])
		crew.finish(t)
		h.Stop(t)
		if got := audit(t, s, root); got != crew.count {
			t.Errorf("the hub has %d instances, want %d", got, crew.count)
		}
	})
}
