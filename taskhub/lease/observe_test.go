package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

// silent puts the record of a host that renews no more.
func silent(t *testing.T, s storage.Store, id string, of time.Duration) {
	t.Helper()
	body := fmt.Sprintf(`{"format":1,"id":%q,"state":"live","version":"v1","leaseMillis":%d}`, id, of.Milliseconds())
	if _, err := s.Create(t.Context(), prefix+id, sealed(body)); err != nil {
		t.Fatal(err)
	}
}

// The wait is as long as the record says, which need not be the observer's own lease.
func TestObserverWaitsForTheWholeLease(t *testing.T) {
	for _, of := range []time.Duration{3 * time.Second, leaseTime, time.Minute} {
		bubble(t, func(t *testing.T, s storage.Store) {
			silent(t, s, "x", of)
			g := observe(t.Context(), newVirtual(), s, "x", nil)
			time.Sleep(of - time.Millisecond)
			if !g.pending() {
				t.Fatalf("lease of %v: evicted after %v", of, g.took)
			}
			<-g.done
			if g.err != nil || g.rec.State != lease.Evicted || g.took > of+of/10 {
				t.Errorf("lease of %v: %s after %v, %v", of, g.rec.State, g.took, g.err)
			}
			got := read(t, s, "x")
			if got.State != lease.Evicted || got.Version == "v1" {
				t.Errorf("the record says %s, version %s: an eviction needs a fresh nonce", got.State, got.Version)
			}
		})
	}
}

func TestObserverNeverEvictsALiveSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		ctx, cancel := context.WithCancel(t.Context())
		g := observe(ctx, newVirtual(), s, session.ID(), nil)
		time.Sleep(10 * leaseTime)
		if !g.pending() || !session.Alive() {
			t.Fatalf("evicted after %v", g.took)
		}
		cancel()
		<-g.done
		if !errors.Is(g.err, context.Canceled) {
			t.Errorf("got %v", g.err)
		}
	})
}

// When nobody could reach the store for longer than a lease, nobody is dead for it.
func TestAnOutageEvictsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		theirs, ours := newRegister(s), newRegister(s)
		session := openSession(t, newVirtual(), theirs)
		g := observe(t.Context(), newVirtual(), ours, session.ID(), nil)
		time.Sleep(time.Second)
		theirs.cut(true)
		ours.cut(true)
		time.Sleep(3 * leaseTime)
		ours.cut(false) // the observer comes first
		time.Sleep(leaseTime / 2)
		theirs.cut(false)
		time.Sleep(2 * leaseTime)
		if !g.pending() || !session.Alive() {
			t.Errorf("evicted after %v", g.took)
		}
		theirs.cut(true) // now it is
		<-g.done
		if g.err != nil || g.rec.State != lease.Evicted {
			t.Errorf("%s, %v", g.rec.State, g.err)
		}
	})
}

// The lease counts from the last renewal that was seen.
func TestARenewalStartsTheWaitAnew(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		session := openSession(t, newVirtual(), r)
		g := observe(t.Context(), newVirtual(), s, session.ID(), nil)
		time.Sleep(leaseTime - time.Second)
		r.cut(true) // the last renewal was at 10 s
		time.Sleep(10*time.Second - time.Millisecond)
		if !g.pending() {
			t.Fatalf("evicted after %v, renewed at 10 s", g.took)
		}
		<-g.done
		if g.took < 25*time.Second || g.took > 27*time.Second {
			t.Errorf("evicted after %v", g.took)
		}
	})
}

// A read that takes as long as an outage says nothing about the time before its answer:
// the holder may have renewed while it was under way.
func TestASlowReadIsNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		r := newRegister(s)
		r.cut(true)
		ctx, cancel := context.WithCancel(t.Context())
		g := observe(ctx, newVirtual(), r, session.ID(), nil)
		time.Sleep(10 * leaseTime)
		r.cut(false)
		time.Sleep(2 * leaseTime)
		if !g.pending() || session.Lost().Fired() {
			t.Fatalf("a session that was renewed all the time was evicted: %v, %v", g.rec.State, g.err)
		}
		cancel()
		<-g.done
	})
}

// Clocks of two hosts are never compared.
func TestObserverIgnoresWallClocks(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		silent(t, s, "x", leaseTime)
		v := newVirtual()
		g := observe(t.Context(), v, s, "x", nil)
		time.Sleep(time.Second)
		v.setWall(24 * time.Hour)
		time.Sleep(leaseTime - 2*time.Second)
		if !g.pending() {
			t.Errorf("evicted after %v", g.took)
		}
		<-g.done
	})
}

func TestObserverSeesACloseAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		g := observe(t.Context(), newVirtual(), s, session.ID(), nil)
		time.Sleep(2 * time.Second)
		if err := session.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-g.done
		if g.err != nil || g.rec.State != lease.Closed || g.took > 4*time.Second {
			t.Errorf("%s after %v, %v", g.rec.State, g.took, g.err)
		}
	})
}

func TestObserverOfASessionThatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		for _, state := range []lease.State{lease.Closed, lease.Evicted} {
			body := fmt.Sprintf(`{"format":1,"id":"x","state":%q,"leaseMillis":15000}`, state)
			if _, err := s.Create(t.Context(), prefix+string(state), sealed(body)); err != nil {
				t.Fatal(err)
			}
			g := observe(t.Context(), newVirtual(), s, string(state), nil)
			<-g.done
			if g.err != nil || g.took != 0 || g.rec.State != state {
				t.Errorf("%s: %s after %v, %v", state, g.rec.State, g.took, g.err)
			}
		}
		g := observe(t.Context(), newVirtual(), s, "never-there", nil)
		<-g.done
		if g.err != nil || g.took != 0 || g.rec.State == lease.Live {
			t.Errorf("no record: %s after %v, %v", g.rec.State, g.took, g.err)
		}
	})
}

func TestProofOfDeathNeedsNoWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		silent(t, s, "x", time.Hour)
		g := observe(t.Context(), newVirtual(), s, "x", func(r lease.Record) bool { return r.ID == "x" })
		<-g.done
		if g.err != nil || g.took != 0 || g.rec.State != lease.Evicted {
			t.Errorf("%s after %v, %v", g.rec.State, g.took, g.err)
		}
	})
}

func TestAProofThatComesLaterIsSeenBetweenTwoReads(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		host := newVirtual()
		session := openSession(t, host, s)
		reads := 0
		store := newRegister(s)
		store.before = func(verb string) {
			if verb == "get" {
				reads++
			}
		}
		died := host.Mono() + 300*time.Millisecond
		g := observe(t.Context(), newVirtual(), store, session.ID(), func(lease.Record) bool { return host.Mono() >= died })
		<-g.done
		if g.err != nil || g.took > 400*time.Millisecond || reads != 2 {
			t.Errorf("gone after %v and %d reads (%v), want 2 reads and little more than the 300 ms until it died", g.took, reads, g.err)
		}
	})
}

// Both see the end, and the record is written by one of them only.
func TestTwoObserversRace(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T, s storage.Store) {
			silent(t, s, "x", leaseTime)
			rates := faulty.Rates{FailBefore: 0.2, FailAfter: 0.3}
			var all []*gone
			for n := range uint64(3) {
				f := faulty.New(s, faulty.Seeded(seed*10+n, rates))
				all = append(all, observe(t.Context(), newVirtual(), f, "x", nil))
			}
			for n, g := range all {
				<-g.done
				if g.err != nil || g.rec.State != lease.Evicted || g.took < leaseTime {
					t.Errorf("observer %d: %s after %v, %v", n, g.rec.State, g.took, g.err)
				}
				if now := read(t, s, "x"); g.rec.Version != now.Version {
					t.Errorf("observer %d believes in version %s, the record has %s", n, g.rec.Version, now.Version)
				}
			}
		})
	}
}

// An eviction that meets a renewal loses: the record changed under it.
func TestARenewalBeatsAnEviction(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		silent(t, s, "x", leaseTime)
		renewed := false
		r := newRegister(s)
		r.before = func(verb string) {
			if verb != "replace" || renewed {
				return
			}
			renewed = true
			_, tag, err := s.Get(t.Context(), prefix+"x")
			if err == nil {
				_, err = s.Replace(t.Context(), prefix+"x", tag, sealed(`{"format":1,"id":"x","state":"live","version":"v2","leaseMillis":15000}`))
			}
			if err != nil {
				t.Error(err)
			}
		}
		g := observe(t.Context(), newVirtual(), r, "x", nil)
		time.Sleep(2*leaseTime - time.Second)
		if !g.pending() {
			t.Fatalf("evicted after %v", g.took)
		}
		<-g.done
	})
}

func TestObserverReportsARecordItCannotRead(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		if _, err := s.Create(t.Context(), prefix+"x", []byte("garbage")); err != nil {
			t.Fatal(err)
		}
		g := observe(t.Context(), newVirtual(), s, "x", nil)
		<-g.done
		if g.err == nil || g.took > time.Second { // it is read again before that is believed
			t.Errorf("got %v after %v", g.err, g.took)
		}
		if b, _, _ := s.Get(t.Context(), prefix+"x"); string(b) != "garbage" {
			t.Error("the bytes were not kept")
		}
	})
}
