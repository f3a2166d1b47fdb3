package taskhub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/inspect"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// A host that has nothing to do renews its session and asks for nothing else.
func TestIdleHostsOnlyRenew(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				hosts, _ := company(t, b, n, never)
				hosts[0].begin(t, "a")
				hosts[0].wantDone(t, "a")
				time.Sleep(30 * time.Minute) // the hosts share the partitions, the last checkpoint is taken
				for _, h := range hosts {
					h.meter.since()
				}
				time.Sleep(time.Hour)
				for _, h := range hosts {
					asked := h.meter.since()
					renewals := 0
					for _, a := range asked {
						if a == "replace "+layout.SessionPrefix+h.Session() {
							renewals++
						} else {
							t.Errorf("%s asks: %s", h.name, a)
						}
					}
					if want := int(time.Hour / (h.opts.Lease / 3)); renewals > want+1 || renewals < want-1 {
						t.Errorf("%s renews %d times in an hour, want %d", h.name, renewals, want)
					}
					t.Logf("an idle host that may not hibernate: %d requests an hour", len(asked))
				}
			})
		})
	}
}

// A hub without work asks for almost nothing.
func TestIdleHubHibernates(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				hosts, _ := company(t, b, n)
				hosts[0].begin(t, "a")
				hosts[0].wantDone(t, "a")
				awaitDormant(t, hosts)
				for _, h := range hosts {
					h.meter.since()
				}
				for range 5 {
					time.Sleep(time.Hour)
					for _, h := range hosts {
						if asked := h.meter.since(); len(asked) > 7 {
							t.Errorf("%s asks %d times in an hour: %v", h.name, len(asked), asked)
						} else {
							t.Logf("%s asks %d times in an hour", h.name, len(asked))
						}
						if !h.Dormant() {
							t.Errorf("%s is awake: %+v", h.name, h.Info())
						}
					}
				}
				// And it is there for whoever comes, by whichever host.
				last := hosts[n-1]
				began := time.Now()
				last.begin(t, "b")
				if waited := time.Since(began); waited > 2*time.Second {
					t.Errorf("a request waits %v for a hub that sleeps", waited)
				}
				for _, h := range hosts {
					h.reaches(t, 10*time.Second, cluster.Serving, cluster.Elsewhere)
					h.wantDone(t, "a", "b")
				}
				awaitDormant(t, hosts)
				for _, h := range hosts {
					t.Logf("%s asks %d times for a wake-up, a request and a minute awake", h.name, len(h.meter.since()))
				}
				if sessions := b.keys(t, layout.SessionPrefix); len(sessions) > 2*n {
					t.Errorf("%d sessions are left: %v", len(sessions), sessions)
				}
			})
		})
	}
}

// napping is an orchestrator that sets one timer, three hours after it began, and ends.
func napping(h []*history.HistoryEvent) []*history.OrchestratorAction {
	var began time.Time
	for _, e := range h {
		if e.GetOrchestratorStarted() != nil && began.IsZero() {
			began = e.Timestamp.AsTime()
		}
		if e.GetTimerFired() != nil {
			return []*history.OrchestratorAction{completed(1, `"awake"`)}
		}
	}
	return []*history.OrchestratorAction{timer(0, began.Add(3*time.Hour))}
}

func timer(id int32, at time.Time) *history.OrchestratorAction {
	return &history.OrchestratorAction{Id: id, OrchestratorActionType: &history.OrchestratorAction_CreateTimer{
		CreateTimer: &history.CreateTimerAction{FireAt: timestamppb.New(at)},
	}}
}

// A timer that comes due during the sleep fires on time, also when the host that served
// its partition is dead by then.
func TestTimersWakeTheHub(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", kill), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				hosts, board := company(t, b, 2, running(napping))
				// Which host has the partition is a race of two that open at the same moment,
				// and a request that is forwarded takes a millisecond: the history knows
				// when the timer is due.
				hosts[0].begin(t, "nap")
				due := timerOf(t, hosts[0], "nap")
				later := due.Add(4 * time.Hour)
				if _, err := hosts[0].Start(t.Context(), StartRequest{Name: "Hello", ID: "late", StartAt: later}); err != nil {
					t.Fatal(err)
				}
				awaitDormant(t, hosts)
				look, err := inspect.Open(t.Context(), inspect.Options{Name: "Test", Store: b})
				if err != nil {
					t.Fatal(err)
				}
				status, err := look.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if p := status.Partitions[hosts[0].ranges.Of("nap")]; p.WakeAt == nil || !p.WakeAt.Equal(due) || p.Owner != "" {
					t.Errorf("its root says: %+v, its timer is due at %v", p, due)
				}
				left := hosts
				if kill {
					owner := slices.IndexFunc(hosts, func(h *metered) bool { return h.owners.Owner(h.ranges.Of("nap")).Owner == h.Session() })
					hosts[owner].crash()
					board.cut(hosts[owner].name)
					left = slices.Delete(slices.Clone(hosts), owner, owner+1)
				}
				time.Sleep(time.Until(due.Add(3 * time.Second)))
				ended := rowOf(t, left[0], "nap")
				if ended == nil || ended.Status != history.Completed {
					t.Fatalf("3 s after the timer was due: %+v", ended)
				}
				if late := ended.Completed.Sub(due); late > 2*time.Second || late < 0 {
					t.Errorf("the timer fires %v late", late)
				}
				awaitDormant(t, left)
				time.Sleep(time.Until(later.Add(2 * time.Second)))
				if i := rowOf(t, left[0], "late"); i == nil || i.Status == history.Pending {
					t.Errorf("a start at a later time: %+v", i)
				}
			})
		})
	}
}

// timerOf waits for the timer of an instance that naps, and returns when it is due.
func timerOf(t *testing.T, h *metered, id string) time.Time {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		events, err := h.History(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if c := e.GetTimerCreated(); c != nil {
				return c.FireAt.AsTime()
			}
		}
	}
	t.Fatalf("%s has no timer", id)
	return time.Time{}
}

// rowOf looks at an instance in a host that is awake; nil if it sleeps.
func rowOf(t *testing.T, h *metered, id string) *Instance {
	t.Helper()
	if h.Dormant() {
		return nil
	}
	i, err := h.Get(t.Context(), id, GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A busy host keeps the others awake, and wakes those that sleep.
func TestOneBusyHostKeepsAllAwake(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, _ := company(t, b, 3)
		awaitDormant(t, hosts)
		for n := range 20 {
			time.Sleep(30 * time.Second)
			hosts[0].begin(t, fmt.Sprint("i", n))
			time.Sleep(5 * time.Second)
			for _, h := range hosts {
				if h.Dormant() {
					t.Errorf("%s sleeps", h.name)
				}
			}
		}
		awaitDormant(t, hosts)
	})
}

// Requests that come while the partitions are being released are held and answered.
func TestRequestsWhileFallingAsleep(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, _ := company(t, b, 2)
		awaitDormant(t, hosts)
		hosts[0].begin(t, "first")
		began := time.Now()
		released := false
		for n := 0; n < 3000 && !released; n++ {
			time.Sleep(50 * time.Millisecond)
			released = hibernates(hosts[0].Hub)
		}
		if !released || time.Since(began) < 30*time.Second {
			t.Fatalf("falls asleep: %v after %v", released, time.Since(began))
		}
		hosts[0].begin(t, "second")
		hosts[1].wantDone(t, "first", "second")
	})
}

// hibernates reports whether a host has begun to release its partitions for the hub to
// hibernate, or has.
func hibernates(h *Hub) bool {
	return slices.ContainsFunc(h.Info(), func(p PartitionInfo) bool { return p.State == cluster.Dormant })
}

// Stop ends a hub that sleeps, and one that is about to.
func TestStopOfASleepingHub(t *testing.T) {
	for _, when := range []string{"dormant", "being released"} {
		t.Run(when, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				h := host(t, b, partitions(4), newSwitchboard().at("a"), func(o *Options) {
					o.Store = slowRoots{o.Store}
				})
				for i := 0; ; i++ {
					time.Sleep(100 * time.Millisecond)
					if hibernates(h.Hub) && h.Dormant() == (when == "dormant") {
						break
					}
					if i > 3000 {
						t.Fatal("it does not fall asleep")
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if err := h.Stop(ctx); err != nil {
					t.Error(err)
				}
				for _, p := range h.Info() {
					if p.State != cluster.Stopped {
						t.Errorf("%+v", p)
					}
				}
				next := host(t, b, partitions(4))
				next.reaches(t, time.Second, cluster.Serving) // it waits for no lease
			})
		})
	}
}

// slowRoots lets every write of a root take a second.
type slowRoots struct{ storage.Store }

func (s slowRoots) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if strings.HasSuffix(key, "/root") {
		time.Sleep(time.Second)
	}
	return s.Store.Replace(ctx, key, old, body)
}
