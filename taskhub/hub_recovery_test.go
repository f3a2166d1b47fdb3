package taskhub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
)

func rootOf(t *testing.T, b *bucket, n int) *partition.Root {
	t.Helper()
	body, _, err := b.Get(t.Context(), layout.PartitionPrefix(n)+"root")
	if err != nil {
		t.Fatal(err)
	}
	r := &partition.Root{}
	if err := json.Unmarshal(body, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Everything that arrives while a commit is under way shares the next one (E§C4).
func TestConcurrentStartsShareCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		b.slow = 20 * time.Millisecond
		h := host(t, b)
		ids := names("i", 300)
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() { h.begin(t, id) })
		}
		all.Wait()
		h.wantDone(t, ids...)
		if n := b.count("log"); n > 40 {
			t.Errorf("%d records for 300 instances of 4 steps", n)
		}
	})
}

func TestOneInstanceTakesFewCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b)
		h.begin(t, "warm")
		h.wantDone(t, "warm")
		before := b.count("log")
		h.begin(t, "a")
		h.wantDone(t, "a")
		if n := b.count("log") - before; n > 4 { // E§C12, 25: n activities, n+1 PUTs
			t.Errorf("%d records for 3 activities in a row", n)
		}
	})
}

// What was acknowledged survives the loss of the host, at whatever moment (guarantee 1).
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	for _, parts := range []int{1, 4} {
		inBubble(t, func(t *testing.T, b *bucket) {
			b.slow = 5 * time.Millisecond
			var ids []string
			for round := range 6 {
				h := host(t, b, partitions(parts), proven)
				var mu sync.Mutex
				var all sync.WaitGroup
				for n := range 20 {
					all.Go(func() {
						id := fmt.Sprintf("r%d-%d", round, n)
						if _, err := h.Start(t.Context(), StartRequest{Name: "Hello", ID: id}); err == nil {
							mu.Lock()
							ids = append(ids, id)
							mu.Unlock()
						}
					})
				}
				time.Sleep(time.Duration(3+7*round) * time.Millisecond)
				h.crash()
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = h.Stop(ctx)
				all.Wait()
			}
			h := host(t, b, partitions(parts), proven)
			if len(ids) == 0 {
				t.Fatal("nothing was acknowledged")
			}
			h.wantDone(t, ids...)
			if e := rootOf(t, b, 0).Epoch; e != 7 {
				t.Errorf("epoch %d after 7 owners", e)
			}
		})
	}
}

// Without a proof of death the next host waits for the lease, and no longer.
func TestTakeoverWaitsForTheLease(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		first := host(t, b)
		first.begin(t, "a")
		first.wantDone(t, "a")
		first.crash()
		crashed := time.Now()
		second := host(t, b)
		time.Sleep(5 * time.Second)
		if s := second.Info()[0].State; s != Waiting {
			t.Errorf("after 5 s it is %s", s)
		}
		for second.Info()[0].State != cluster.Serving {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(crashed); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("took over after %v", took)
		}
		second.wantDone(t, "a")
		// The former owner serves nothing, though it cannot know yet that it was evicted.
		patience, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := first.Get(patience, "a", GetOptions{}); err == nil {
			t.Error("a host that lost its lease answers")
		}
	})
}

func TestStopHandsOverAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		first := host(t, b)
		first.begin(t, "a")
		first.wantDone(t, "a")
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(t.Context()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		r := rootOf(t, b, 0)
		if r.Owner != "" || r.Checkpoint == nil {
			t.Errorf("root %+v", r)
		}
		if _, err := first.Start(t.Context(), StartRequest{Name: "Hello"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a start after Stop: %v", err)
		}
		since := time.Now()
		second := host(t, b)
		second.wantDone(t, "a")
		if took := time.Since(since); took > time.Second {
			t.Errorf("the next host waited %v", took)
		}
	})
}

func TestCheckpointAfterAThousandRecords(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), proven)
		h.begin(t, "a")
		for n := range 1100 {
			if err := h.RaiseEvent(t.Context(), "a", fmt.Sprint("e", n), nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		r := rootOf(t, b, 0)
		if r.Checkpoint == nil || r.Checkpoint.Seq < 1000 {
			t.Fatalf("checkpoint %+v after %d records", r.Checkpoint, b.count("log"))
		}
		h.crash()
		next := host(t, b, running(nothing), proven)
		events, err := next.History(t.Context(), "a")
		for len(events) < 1100 && err == nil {
			time.Sleep(time.Second)
			events, err = next.History(t.Context(), "a")
		}
		if err != nil || !slices.ContainsFunc(events, func(e *history.HistoryEvent) bool { return e.GetEventRaised().GetName() == "e1099" }) {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
}

func TestCheckpointWhenIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b)
		h.begin(t, "a")
		h.wantDone(t, "a")
		time.Sleep(20 * time.Second)
		if r := rootOf(t, b, 0); r.Checkpoint != nil {
			t.Error("a checkpoint was taken while it may still be busy")
		}
		time.Sleep(20 * time.Second)
		if r := rootOf(t, b, 0); r.Checkpoint == nil || r.Previous != nil {
			t.Fatalf("root %+v", r)
		}
		// E§C10: an idle hub asks for nothing but its lease.
		tables, log := b.count("table"), b.count("log")
		time.Sleep(time.Hour)
		if b.count("table") != tables || b.count("log") != log {
			t.Errorf("an idle hour wrote %d tables and %d records", b.count("table")-tables, b.count("log")-log)
		}
	})
}

// eventsIn raises n events, so that there is a log to damage.
func eventsIn(t *testing.T, h *hubHost, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := h.RaiseEvent(t.Context(), "a", fmt.Sprint("e", n), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitState(t *testing.T, h *hubHost, n int, want PartitionState) PartitionInfo {
	t.Helper()
	for range 1000 {
		if i := h.Info()[n]; i.State == want {
			return i
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("partition %d never was %s: %+v", n, want, h.Info()[n])
	return PartitionInfo{}
}

// A corrupt record stops its partition, names the object and keeps the bytes.
func TestCorruptRecordParksThePartition(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"a flipped bit": func(b []byte) []byte { b[50] ^= 1; return b },
		"cut short":     func(b []byte) []byte { return b[:20] },
		"empty":         func([]byte) []byte { return []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				h := host(t, b, running(nothing), partitions(2), proven)
				h.begin(t, "a")
				eventsIn(t, h, 0, 10)
				n := h.ranges.Of("a")
				h.crash()
				keys := b.keys(t, layout.PartitionPrefix(n)+"log/")
				key := keys[len(keys)/2]
				bad := b.overwrite(t, key, change)
				next := host(t, b, running(nothing), proven)
				info := awaitState(t, next, n, Parked)
				if !strings.Contains(info.Detail, key) {
					t.Errorf("detail %q does not name %s", info.Detail, key)
				}
				if now, _, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(now, bad) {
					t.Errorf("the bytes were not kept: %v", err)
				}
				since := time.Now()
				if _, err := next.Get(t.Context(), "a", GetOptions{}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), key) {
					t.Errorf("Get: %v", err)
				}
				if took := time.Since(since); took > 0 {
					t.Errorf("a request to a parked partition waited %v", took)
				}
				// The others go on.
				awaitState(t, next, 1-n, cluster.Serving)
				for i := 0; ; i++ {
					if id := fmt.Sprint("other", i); next.ranges.Of(id) != n {
						next.begin(t, id)
						break
					}
				}
			})
		})
	}
}

// A record that belongs to another history is not applied, however well it is formed.
func TestRecordOfAnotherHistoryParksThePartition(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), proven)
		h.begin(t, "a")
		eventsIn(t, h, 0, 4)
		h.crash()
		keys := b.keys(t, layout.PartitionPrefix(0)+"log/")
		last := keys[len(keys)-1]
		// The same slot of another hub.
		other := newBucket()
		o := host(t, other, running(nothing), proven)
		o.begin(t, "a")
		eventsIn(t, o, 0, 4)
		o.crash()
		foreign, _, err := other.Get(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		b.overwrite(t, last, func([]byte) []byte { return foreign })
		next := host(t, b, running(nothing), proven)
		if info := awaitState(t, next, 0, Parked); !strings.Contains(info.Detail, last) {
			t.Errorf("detail %q does not name %s", info.Detail, last)
		}
	})
}

// A damaged newest checkpoint is no loss: the one before it and the log kept for it
// hold the same.
func TestDamagedCheckpointFallsBack(t *testing.T) {
	for _, how := range []string{"damaged", "missing"} {
		inBubble(t, func(t *testing.T, b *bucket) {
			h := host(t, b, running(nothing), proven, never)
			h.begin(t, "a")
			for round := range 3 {
				eventsIn(t, h, 10*round, 10*round+10)
				time.Sleep(time.Minute) // idle: a checkpoint
			}
			eventsIn(t, h, 30, 35)
			h.crash()
			r := rootOf(t, b, 0)
			if r.Previous == nil || r.Checkpoint.Seq <= r.Previous.Seq {
				t.Fatalf("root %+v", r)
			}
			key := layout.PartitionPrefix(0) + "table/" + r.Checkpoint.Bundle.Name
			if how == "damaged" {
				b.overwrite(t, key, func(x []byte) []byte { x[len(x)/2] ^= 1; return x })
			} else if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			next := host(t, b, running(nothing), proven, never)
			awaitState(t, next, 0, cluster.Serving)
			eventsIn(t, next, 35, 40)
			time.Sleep(time.Minute) // all are history, and a checkpoint is taken
			events, err := next.History(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, e := range events {
				if k := e.GetEventRaised(); k != nil {
					if k.Name != fmt.Sprint("e", n) {
						t.Fatalf("%s: event %d is %s", how, n, k.Name)
					}
					n++
				}
			}
			if n != 40 {
				t.Errorf("%s: %d events", how, n)
			}
			// Both damaged: parked, and nothing is made up.
			next.crash()
			r = rootOf(t, b, 0)
			for _, name := range append(r.Checkpoint.Objects(), r.Previous.Objects()...) {
				_ = b.Delete(t.Context(), layout.PartitionPrefix(0)+"table/"+name)
			}
			last := host(t, b, running(nothing), proven, never)
			if info := awaitState(t, last, 0, Parked); !strings.Contains(info.Detail, r.Checkpoint.Bundle.Name) {
				t.Errorf("detail %q does not name %s", info.Detail, r.Checkpoint.Bundle.Name)
			}
		})
	}
}

// A crash between a commit and the delivery of its messages: nobody waits for ever.
func TestMessagesBetweenPartitionsSurviveACrash(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, partitions(4), running(parentOf))
		for _, id := range names("p", 20) {
			if _, err := h.Start(t.Context(), StartRequest{Name: "Parent", ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		h.crash() // with whatever has been sent by now
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Stop(ctx)
		next := host(t, b, running(parentOf), proven)
		for _, id := range names("p", 20) {
			i, err := next.Wait(t.Context(), id, GetOptions{Payloads: true})
			if err != nil || i.Status != history.Completed || *i.Output != `"10 of 10"` {
				t.Errorf("%s: %+v, %v", id, i, err)
			}
		}
	})
}
