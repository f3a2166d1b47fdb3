package lease_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

func TestSessionIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		first := read(t, s, session.ID())
		if first.State != lease.Live || first.ID != session.ID() || first.LeaseMillis != 15_000 || first.Host != "a" || first.PID != 7 || first.Format != 1 {
			t.Errorf("record %+v", first)
		}
		versions := map[string]bool{}
		for range 20 {
			versions[read(t, s, session.ID()).Version] = true
			if !session.Alive() {
				t.Fatal("a session that is renewed is not alive")
			}
			time.Sleep(leaseTime/3 + time.Millisecond)
		}
		if len(versions) < 19 {
			t.Errorf("%d versions in 20 thirds of a lease", len(versions))
		}
	})
}

// A holder counts from before it sent the last successful renewal, less a margin.
func TestAliveEndsBeforeTheLeaseDoes(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		r.after = func(string) { time.Sleep(2 * time.Second) } // a slow answer
		session := openSession(t, newVirtual(), r)
		r.cut(true)
		// Two of the seconds had passed when the answer came.
		last := leaseTime - lease.Margin(leaseTime) - 2*time.Second
		time.Sleep(last - time.Millisecond)
		if !session.Alive() {
			t.Error("not trusted though the lease has not come near its end")
		}
		time.Sleep(2 * time.Millisecond)
		if session.Alive() {
			t.Error("trusted within the margin")
		}
	})
}

func TestMargin(t *testing.T) {
	for lease_, want := range map[time.Duration]time.Duration{
		2 * time.Second: time.Second, 3 * time.Second: 1500 * time.Millisecond,
		5 * time.Second: 2 * time.Second, 15 * time.Second: 3 * time.Second, time.Minute: 12 * time.Second,
	} {
		if got := lease.Margin(lease_); got != want {
			t.Errorf("Margin(%v) = %v, want %v", lease_, got, want)
		}
	}
}

// A renewal that succeeds proves unbroken ownership, however late it comes (E§C3).
func TestALateRenewalKeepsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		session := openSession(t, newVirtual(), r)
		r.cut(true)
		time.Sleep(5 * time.Minute)
		if session.Alive() || session.Lost().Fired() {
			t.Fatalf("alive %v, lost %v after five minutes without the store", session.Alive(), session.Lost().Fired())
		}
		time.AfterFunc(time.Minute, func() { r.cut(false) })
		if err := session.Await(t.Context()); err != nil || !session.Alive() {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestLostAnswersDoNotEndASession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		f := faulty.New(s, faulty.Seeded(11, faulty.Rates{FailBefore: 0.2, FailAfter: 0.3, Hang: 0.1}))
		session := openSession(t, newVirtual(), f)
		for range 60 {
			time.Sleep(leaseTime / 3)
			if session.Lost().Fired() {
				t.Fatal("a lost answer was taken for an eviction")
			}
		}
		if err := session.Await(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A wall clock that jumps against the boot clock: one of them may have stood still.
func TestAClockJumpIsNotTrustedUntilARenewal(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second} {
		bubble(t, func(t *testing.T, s storage.Store) {
			v := newVirtual()
			session := openSession(t, v, s)
			v.setWall(jump)
			if session.Alive() {
				t.Errorf("trusted after a jump of %v", jump)
			}
			if err := session.Await(t.Context()); err != nil || !session.Alive() {
				t.Errorf("a renewal must settle it: %v", err)
			}
		})
	}
	bubble(t, func(t *testing.T, s storage.Store) {
		v := newVirtual()
		session := openSession(t, v, s)
		v.setWall(time.Second)
		if !session.Alive() {
			t.Error("a correction of a second ended the trust")
		}
	})
}

// A machine that slept wakes with a lease that has run out.
func TestEvictionWhileFrozen(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		session := openSession(t, newVirtual(), r)
		r.cut(true) // as good as frozen: nothing of it reaches the store
		g := observe(t.Context(), newVirtual(), s, session.ID(), nil)
		<-g.done
		if g.err != nil || g.rec.State != lease.Evicted {
			t.Fatalf("observer: %+v, %v", g.rec, g.err)
		}
		r.cut(false)
		if err := session.Await(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Await: %v, want ErrLost", err)
		}
		synctest.Wait()
		if session.Alive() || !session.Lost().Fired() {
			t.Error("an evicted session goes on")
		}
		if got := read(t, s, session.ID()); got.State != lease.Evicted {
			t.Errorf("the record says %s", got.State)
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		session := openSession(t, newVirtual(), r)
		r.cut(true)
		time.Sleep(leaseTime)
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		if err := session.Await(ctx); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		if err := session.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := session.Close(t.Context()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if err := session.Await(t.Context()); !errors.Is(err, lease.ErrLost) || session.Alive() || !session.Lost().Fired() {
			t.Errorf("a closed session: Await %v, alive %v, lost %v", err, session.Alive(), session.Lost().Fired())
		}
		closed := read(t, s, session.ID())
		if closed.State != lease.Closed {
			t.Errorf("the record says %s", closed.State)
		}
		time.Sleep(10 * leaseTime)
		if again := read(t, s, session.ID()); again != closed {
			t.Error("a closed session is still renewed")
		}
	})
}

func TestCloseOfAnEvictedSessionLeavesTheRecord(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		g := observe(t.Context(), newVirtual(), s, session.ID(), func(lease.Record) bool { return true })
		<-g.done
		_ = session.Close(t.Context()) // whether it knows already or finds out now
		if got := read(t, s, session.ID()); got.State != lease.Evicted {
			t.Errorf("the record says %s: an eviction was overwritten", got.State)
		}
		if err := session.Await(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Await: %v", err)
		}
	})
}

func TestDecode(t *testing.T) {
	for name, body := range map[string][]byte{
		"no JSON": []byte("{"), "empty": nil, "no checksum": []byte(`{"format":1,"id":"x","state":"live"}`),
		"a newer format": sealed(`{"format":2,"id":"x","state":"live"}`), "no format": sealed(`{"id":"x"}`),
		"another shape": sealed(`{"format":1,"id":7}`),
	} {
		if r, err := lease.Decode("session/x", body); err == nil || !strings.Contains(err.Error(), "session/x") {
			t.Errorf("%s: %+v, %v; want an error that names the key", name, r, err)
		}
	}
}

func TestUpdate(t *testing.T) {
	const key = "session/r"
	for _, tt := range []struct {
		name   string
		op     faulty.Op
		faults []faulty.Fault
	}{
		{"create", faulty.Create, nil},
		{"create, never applied", faulty.Create, []faulty.Fault{faulty.FailBefore}},
		{"create, our own conflict", faulty.Create, []faulty.Fault{faulty.FailAfter}},
		{"create, hanging", faulty.Create, []faulty.Fault{faulty.Hang}},
		{"replace", faulty.Replace, nil},
		{"replace, never applied", faulty.Replace, []faulty.Fault{faulty.FailBefore, faulty.Hang}},
		{"replace, our own conflict", faulty.Replace, []faulty.Fault{faulty.FailAfter}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s storage.Store) {
				ctx, v := t.Context(), newVirtual()
				var old storage.Tag
				if tt.op == faulty.Replace {
					var err error
					if old, err = s.Create(ctx, key, []byte("before")); err != nil {
						t.Fatal(err)
					}
				}
				f := faulty.New(s, faulty.Script(tt.op, key, tt.faults...))
				tag, err := lease.Update(ctx, v, f, key, old, []byte("mine"))
				body, now, gerr := s.Get(ctx, key)
				if err != nil || gerr != nil || string(body) != "mine" || tag != now {
					t.Errorf("tag %s, %v; the register holds %q under %s, %v", tag, err, body, now, gerr)
				}
			})
		})
	}
	t.Run("another was faster", func(t *testing.T) {
		bubble(t, func(t *testing.T, s storage.Store) {
			ctx, v := t.Context(), newVirtual()
			old, err := s.Create(ctx, key, []byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Replace(ctx, key, old, []byte("theirs")); err != nil {
				t.Fatal(err)
			}
			if _, err := lease.Update(ctx, v, s, key, old, []byte("mine")); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("replace: %v", err)
			}
			if _, err := lease.Update(ctx, v, s, key, "", []byte("mine")); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("create: %v", err)
			}
			// Our write was applied, its answer lost, and then it was overtaken.
			f := faulty.New(s, faulty.Script(faulty.Replace, key, faulty.FailBefore))
			if _, err := lease.Update(ctx, v, f, key, old, []byte("mine")); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("after a fault: %v", err)
			}
			if b, _, _ := s.Get(ctx, key); string(b) != "theirs" {
				t.Errorf("the register holds %q", b)
			}
		})
	})
}

// cut lets the first answers to a GET come short; the records are whole.
type cut struct {
	lease.Register
	left int
}

func (c *cut) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := c.Register.Get(ctx, key)
	if err == nil && c.left > 0 {
		c.left--
		b = b[:len(b)/2]
	}
	return b, tag, err
}

// An answer that was cut short is no record of another: the write was ours after all.
func TestAShortAnswerIsReadAgain(t *testing.T) {
	const key = "session/r"
	for bad, fine := range map[int]bool{0: true, 2: true, 3: false} {
		bubble(t, func(t *testing.T, s storage.Store) {
			mine := sealed(`{"version":"mine"}`)
			f := faulty.New(s, faulty.Script(faulty.Create, key, faulty.FailAfter))
			_, err := lease.Update(t.Context(), newVirtual(), &cut{f, bad}, key, "", mine)
			if (err == nil) != fine {
				t.Errorf("%d bad answers: %v", bad, err)
			}
		})
	}
}
