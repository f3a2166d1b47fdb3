package taskhub

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// Hosts that sleep and do not reach each other find out from the bucket what another one
// has left to do, and do it when that one is dead.
func TestSleepersLookIntoTheBucket(t *testing.T) {
	for _, kind := range []string{"bucket", "table"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				shared := memory.NewWithClock(time.Now)
				var lines []*faulty.Store // of each host to the table
				var tables []*meter
				with := func(o *Options) {
					lines = append(lines, faulty.New(shared, nil))
					tables = append(tables, &meter{Store: lines[len(lines)-1]})
					if kind == "table" {
						o.Register, o.Leases = tables[len(tables)-1], "a table"
					}
				}
				far, _ := company(t, b, 1, with)
				awaitDormant(t, far)
				near, board := company(t, b, 1, with)
				began := time.Now()
				at := began.Add(2*time.Hour + 7*time.Minute)
				if _, err := near[0].Start(t.Context(), StartRequest{Name: "Hello", ID: "later", StartAt: at}); err != nil {
					t.Fatal(err)
				}
				awaitDormant(t, near)
				defer lines[1].SetOutage(false) // for its end
				near[0].crash()
				lines[1].SetOutage(true)
				board.cut(near[0].name)
				time.Sleep(time.Until(began.Add(time.Hour)))
				tables[0].since()
				far[0].meter.since()
				time.Sleep(time.Until(at.Add(-time.Minute)))
				if asked := append(far[0].meter.since(), tables[0].since()...); len(asked) > 8 || !far[0].Dormant() {
					t.Errorf("in an hour of sleep (%v) it asks: %v", far[0].Dormant(), asked)
				}
				time.Sleep(time.Until(at.Add(3 * time.Second)))
				if i := rowOf(t, far[0], "later"); i == nil || i.Status != history.Completed {
					t.Errorf("3 s after its time: %+v", i)
				}
			})
		})
	}
}

// Who owns a partition and dies while others sleep and cannot hear it is noticed.
func TestSleepersNoticeAnOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		far, _ := company(t, b, 1)
		awaitDormant(t, far)
		near, board := company(t, b, 1, never)
		near[0].begin(t, "a")
		near[0].wantDone(t, "a")
		if _, err := near[0].Start(t.Context(), StartRequest{Name: "Hello", ID: "soon", StartAt: time.Now().Add(11 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		near[0].crash()
		board.cut(near[0].name)
		time.Sleep(12 * time.Minute)
		far[0].wantDone(t, "soon")
	})
}

// Another host's request wakes a host that sleeps, and is not answered by it before.
func TestForwardedRequestsWake(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, _ := company(t, b, 2)
		awaitDormant(t, hosts)
		r := peers{hosts[0].Hub}.Call(t.Context(), &transport.Request{
			Hub: hosts[0].id, Op: &transport.Request_Get{Get: &transport.Get{Instance: "a"}},
		})
		if r.Code != transport.Code_NOT_OWNER {
			t.Errorf("a host that sleeps answers %v", r)
		}
		for _, h := range hosts {
			h.reaches(t, 5*time.Second, cluster.Serving, cluster.Elsewhere)
		}
	})
}

// A set of functions that has changed is told to the instances that wait for it.
func TestReconsiderWakes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, _ := company(t, b, 1)
		awaitDormant(t, hosts)
		hosts[0].Reconsider()
		hosts[0].reaches(t, 5*time.Second, cluster.Serving)
	})
}

// evicting takes the session away from whoever releases a root.
type evicting struct {
	storage.Store
	session func() string
	done    bool
}

func (s *evicting) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if key == "p/02/root" && !s.done && s.session() != "" {
		s.done = true
		for err := storage.ErrConflict; errors.Is(err, storage.ErrConflict); { // with a renewal
			err = s.evict(ctx, layout.SessionPrefix+s.session())
		}
		time.Sleep(20 * time.Second) // longer than the next renewal takes to find out
	}
	return s.Store.Replace(ctx, key, old, body)
}

func (s *evicting) evict(ctx context.Context, name string) error {
	b, tag, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	r, err := lease.Decode(name, b)
	if err != nil {
		return err
	}
	_, err = s.Store.Replace(ctx, name, tag, checked.Marshal(json.RawMessage(`{"format":1,"id":"`+r.ID+`","state":"evicted","version":"x"}`)))
	return err
}

// A session that is lost while the hub falls asleep is lost like any other: the host joins
// again, serves, and sleeps later.
func TestSessionLostWhileFallingAsleep(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		var hub *hubHost
		e := &evicting{session: func() string {
			if hub == nil {
				return ""
			}
			if !hibernates(hub.Hub) {
				return ""
			}
			return hub.Session()
		}}
		hub = host(t, b, partitions(4), newSwitchboard().at("a"), func(o *Options) {
			e.Store = o.Store
			o.Store = e
		})
		first := hub.Session()
		hub.begin(t, "a")
		awaitDormant(t, []*metered{{hubHost: hub, name: "a"}})
		if !e.done || hub.Session() == first {
			t.Errorf("the session was not lost: %v, %s", e.done, hub.Session())
		}
		hub.wantDone(t, "a")
	})
}

// A bucket that is away while everybody sleeps costs no more than waiting.
func TestOutageDuringSleep(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, _ := company(t, b, 2)
		at := time.Now().Add(time.Hour)
		if _, err := hosts[0].Start(t.Context(), StartRequest{Name: "Hello", ID: "a", StartAt: at}); err != nil {
			t.Fatal(err)
		}
		awaitDormant(t, hosts)
		for _, h := range hosts {
			h.net.SetOutage(true)
		}
		time.Sleep(50 * time.Minute)
		if slices.ContainsFunc(hosts, func(h *metered) bool { return !h.Dormant() }) {
			t.Error("an outage wakes the hub")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := hosts[0].RaiseEvent(ctx, "a", "x", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a request during the outage: %v", err)
		}
		for _, h := range hosts {
			h.net.SetOutage(false)
		}
		time.Sleep(time.Until(at.Add(2 * time.Second)))
		hosts[1].wantDone(t, "a")
	})
}
