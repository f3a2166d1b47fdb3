package taskhub

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/inspect"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
)

// flip changes one bit of the byte at a part of an object's length.
func flip(part float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Clone(b)
		b[int(part*float64(len(b)))] ^= 1
		return b
	}
}

// looked is what hub status and hub verify say of a bucket: problems, and how many
// partitions could be read.
func looked(t *testing.T, b *bucket) (status, verify string, readable int) {
	t.Helper()
	i, err := inspect.Open(t.Context(), inspect.Options{Name: "Test", Store: b})
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Sessions {
		status += x.Problem
	}
	problems, err := i.VerifySessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range s.Partitions {
		status += p.Problem
		r, err := i.Verify(t.Context(), n, checkpoint.Memory{})
		if err != nil {
			t.Fatal(err)
		}
		if problems = append(problems, r.Problems...); len(r.Problems) == 0 {
			readable++
		}
	}
	return status, strings.Join(problems, "\n"), readable
}

// wantEvents checks that nothing of what was raised is lost, and nothing is there twice.
func wantEvents(t *testing.T, h *hubHost, want int) {
	t.Helper()
	time.Sleep(5 * time.Second) // what was raised last is history by then
	events, err := h.History(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var got, all []string
	for _, e := range events {
		if k := e.GetEventRaised(); k != nil {
			got = append(got, k.Name)
		}
	}
	for n := range want {
		all = append(all, fmt.Sprint("e", n))
	}
	if !slices.Equal(got, all) {
		t.Errorf("events are %q, want %q", got, all)
	}
}

// A damaged root stops its partition and no other, is named wherever one looks, and is
// kept. Once it is as it was nothing is lost.
func TestDamagedRootParksThePartition(t *testing.T) {
	for _, part := range []float64{0, 0.1, 0.3, 0.5, 0.8, 0.99} {
		inBubble(t, func(t *testing.T, b *bucket) {
			h := host(t, b, running(nothing), partitions(3), proven)
			h.begin(t, "a")
			eventsIn(t, h, 0, 10)
			n := h.ranges.Of("a")
			h.crash()
			key := layout.PartitionPrefix(n) + "root"
			good, _, err := b.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			bad := b.overwrite(t, key, flip(part))

			next := host(t, b, running(nothing), proven)
			if info := awaitState(t, next, n, Parked); !strings.Contains(info.Detail, "corrupt object "+key) {
				t.Errorf("detail %q does not name %s", info.Detail, key)
			}
			if _, err := next.Get(t.Context(), "a", GetOptions{}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), key) {
				t.Errorf("Get: %v", err)
			}
			for other := range 3 {
				if other != n {
					awaitState(t, next, other, cluster.Serving)
				}
			}
			status, verify, readable := looked(t, b)
			if !strings.Contains(status, key) || !strings.Contains(verify, key) || readable != 2 {
				t.Errorf("hub status says %q, hub verify %q; %d partitions are well", status, verify, readable)
			}
			time.Sleep(10 * time.Minute)
			next.crash()
			if now, _, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(now, bad) {
				t.Errorf("the bytes were not kept: %v", err)
			}
			b.overwrite(t, key, func([]byte) []byte { return good })
			last := host(t, b, running(nothing), proven)
			awaitState(t, last, n, cluster.Serving)
			eventsIn(t, last, 10, 12)
			wantEvents(t, last, 12)
		})
	}
}

// A root that is damaged while its owner serves is found at the owner's next checkpoint.
func TestRootDamagedUnderItsOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), partitions(2))
		h.begin(t, "a")
		n := h.ranges.Of("a")
		key := layout.PartitionPrefix(n) + "root"
		good, _, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		b.overwrite(t, key, flip(0.4))
		eventsIn(t, h, 0, 10) // the log does not need the root
		if info := awaitState(t, h, n, Parked); !strings.Contains(info.Detail, key) {
			t.Errorf("detail %q does not name %s", info.Detail, key)
		}
		awaitState(t, h, 1-n, cluster.Serving)
		h.crash()
		b.overwrite(t, key, func([]byte) []byte { return good })
		next := host(t, b, running(nothing), proven)
		awaitState(t, next, n, cluster.Serving)
		wantEvents(t, next, 10)
	})
}

// A host that finds the root of another one's partition damaged does not claim it, and
// sends requests to the owner as soon as it hears from it.
func TestParkedPartitionIsLeftToItsOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		net := newSwitchboard()
		a := host(t, b, running(nothing), partitions(2), net.at("a"))
		a.begin(t, "a")
		n := a.ranges.Of("a")
		awaitState(t, a, 1-n, cluster.Serving) // its root tells where a is
		b.overwrite(t, layout.PartitionPrefix(n)+"root", flip(0.5))
		other := host(t, b, running(nothing), net.at("b"))
		awaitState(t, other, n, cluster.Elsewhere)
		if i, err := other.Get(t.Context(), "a", GetOptions{}); err != nil || i.Status != history.Running {
			t.Errorf("a request to the owner, sent to another host: %+v, %v", i, err)
		}
		if s := a.Info()[n]; s.State != cluster.Serving || s.Epoch != 1 {
			t.Errorf("the owner says %+v", s)
		}
	})
}

// A host that died with a session that cannot be read is waited for as long as its lease,
// not for ever, and not less.
func TestDamagedSessionOfADeadHost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), partitions(4))
		h.begin(t, "a")
		eventsIn(t, h, 0, 10)
		for n := range 4 {
			awaitState(t, h, n, cluster.Serving)
		}
		h.crash()
		crashed := time.Now()
		key := layout.SessionPrefix + h.Session()
		b.overwrite(t, key, flip(0.5))
		status, verify, readable := looked(t, b)
		if !strings.Contains(status, key) || !strings.Contains(verify, key) || readable != 4 {
			t.Errorf("hub status says %q, hub verify %q; %d partitions are well", status, verify, readable)
		}
		next := host(t, b, running(nothing), proven) // what a damaged record says proves nothing
		time.Sleep(14*time.Second - time.Since(crashed))
		for n, s := range next.Info() {
			if s.State != Waiting || !strings.Contains(s.Detail, key+": damaged") {
				t.Errorf("partition %d is %s: %s", n, s.State, s.Detail)
			}
		}
		for n := range 4 {
			awaitState(t, next, n, cluster.Serving)
			if e := rootOf(t, b, n).Epoch; e != 2 {
				t.Errorf("partition %d: epoch %d after 2 owners", n, e)
			}
		}
		if took := time.Since(crashed); took > 20*time.Second {
			t.Errorf("served after %v", took)
		}
		if status, verify, _ := looked(t, b); status+verify != "" {
			t.Errorf("a session that is over leaves %q, %q", status, verify)
		}
		wantEvents(t, next, 10)
	})
}

// A host whose own session is damaged joins again, and has its partitions back before
// anybody would have waited for its lease.
func TestSessionDamagedUnderItsHolder(t *testing.T) {
	for _, hosts := range []int{1, 2} {
		inBubble(t, func(t *testing.T, b *bucket) {
			net := newSwitchboard()
			h := host(t, b, running(nothing), partitions(4), net.at("a"))
			h.begin(t, "a")
			eventsIn(t, h, 0, 10)
			others := []*hubHost{h}
			if hosts == 2 {
				others = append(others, host(t, b, running(nothing), net.at("b")))
			}
			first := h.Session()
			b.overwrite(t, layout.SessionPrefix+first, flip(0.5))
			began := time.Now()
			for n := 0; n < 4; {
				served := 0
				for _, o := range others {
					if s := o.Info()[n]; s.State == cluster.Serving && o.Session() != first && rootOf(t, b, n).Owner == o.Session() {
						served++
					}
				}
				if served > 1 {
					t.Fatalf("partition %d is served twice", n)
				}
				if n += served; served == 0 {
					time.Sleep(100 * time.Millisecond)
				}
				if time.Since(began) > time.Minute {
					t.Fatalf("%d hosts: partition %d is not served again: %+v", hosts, n, h.Info()[n])
				}
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%d hosts: served again after %v", hosts, took)
			}
			for n := 10; n < 12; n++ {
				// With an id, since partitions may be moving between the hosts again.
				ctx := WithRequestID(t.Context(), fmt.Sprint("r", n))
				if err := h.RaiseEvent(ctx, "a", fmt.Sprint("e", n), nil); err != nil {
					t.Fatal(err)
				}
			}
			wantEvents(t, h, 12)
		})
	}
}

// A hub that sleeps wakes for a root that it finds damaged: to name it, and to look after
// the other partitions.
func TestDamagedRootOfASleepingHub(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, partitions(2))
		h.begin(t, "a")
		h.wantDone(t, "a")
		for !h.Dormant() {
			time.Sleep(10 * time.Second)
		}
		b.overwrite(t, layout.PartitionPrefix(0)+"root", flip(0.5))
		// Somebody was there: reason enough to look at the roots.
		time.Sleep(15 * time.Minute)
		body := checked.Marshal(lease.Record{Format: 1, ID: "x-15000", State: lease.Closed})
		if _, err := b.Create(t.Context(), layout.SessionPrefix+"x-15000", body); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if info := h.Info(); info[0].State != Parked || info[1].State != cluster.Serving {
			t.Errorf("%+v", info)
		}
	})
}

// No bit of hub.json can be wrong: a host refuses to start, names it, and touches nothing.
func TestDamagedHubJSON(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b)
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		good, _, err := b.Get(t.Context(), layout.ManifestKey)
		if err != nil {
			t.Fatal(err)
		}
		named := func(err error) bool {
			var corrupt *partition.CorruptError
			return errors.As(err, &corrupt) && corrupt.Key == layout.ManifestKey && strings.Contains(err.Error(), "corrupt object hub.json: damaged")
		}
		for at := range good {
			for bit := range 8 {
				b.overwrite(t, layout.ManifestKey, func([]byte) []byte {
					bad := bytes.Clone(good)
					bad[at] ^= 1 << bit
					return bad
				})
				if _, err := layout.Read(t.Context(), b, ""); !named(err) {
					t.Errorf("byte %d, bit %d: %v", at, bit, err)
				}
			}
		}
		before := b.keys(t, "")
		for at := 0; at < len(good); at += 50 {
			b.overwrite(t, layout.ManifestKey, func([]byte) []byte { return flip(float64(at) / float64(len(good)))(good) })
			if _, err := tryOpen(t, b); !named(err) {
				t.Errorf("byte %d: %v", at, err)
			}
			if _, err := inspect.Open(t.Context(), inspect.Options{Name: "Test", Store: b}); !named(err) {
				t.Errorf("byte %d: Inspect: %v", at, err)
			}
		}
		if now := b.keys(t, ""); !slices.Equal(now, before) {
			t.Errorf("a hub that is not understood was written to: %q, before %q", now, before)
		}
		b.overwrite(t, layout.ManifestKey, func([]byte) []byte { return good })
		h = host(t, b)
		h.begin(t, "a")
		h.wantDone(t, "a")
	})
}
