package lease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// What is signed expires when the holder stops trusting the lease, on the wall clock, and
// the moment does not move between renewals.
func TestUntilIsTheEndOfTrust(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		v := newVirtual()
		v.setWall(1900 * time.Millisecond) // just not a jump
		r := newRegister(s)
		r.after = func(string) { time.Sleep(2 * time.Second) } // a slow answer
		sent := time.Now()
		session := openSession(t, v, r)
		r.cut(true)
		want := sent.Add(leaseTime - lease.Margin(leaseTime)).Add(1900 * time.Millisecond)
		for range 5 {
			if got := session.Until(); !got.Equal(want) {
				t.Errorf("after %v: until %v, want %v", time.Since(sent), got, want)
			}
			if at, ok := storage.Deadline(session.Sign(t.Context())); !ok || !at.Equal(want) {
				t.Errorf("signed until %v, %v, want %v", at, ok, want)
			}
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Second)
		if session.Alive() || session.Until().After(v.Now()) {
			t.Errorf("alive %v, until %v though the lease is over at %v", session.Alive(), session.Until(), v.Now())
		}
	})
}

// A clock that jumped, or a session that is lost, signs nothing that a store would take.
func TestUntilWithoutTrust(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		v := newVirtual()
		session := openSession(t, v, s)
		for _, jump := range []time.Duration{time.Hour, -time.Hour} {
			v.setWall(jump)
			if session.Until().After(v.Now()) {
				t.Errorf("after a jump of %v it signs until %v, now is %v", jump, session.Until(), v.Now())
			}
		}
		v.setWall(0)
		if err := session.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if session.Until().After(v.Now()) {
			t.Error("a closed session signs")
		}
		if err := session.Refresh(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Refresh of a closed session: %v", err)
		}
	})
}

func TestRefreshRenewsNow(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		time.Sleep(leaseTime/3 - time.Second)
		before, version := session.Until(), read(t, s, session.ID()).Version
		if err := session.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !session.Until().After(before) || read(t, s, session.ID()).Version == version {
			t.Errorf("until %v before and %v after a renewal", before, session.Until())
		}
	})
}

func TestRefreshOfAnEvictedSessionFails(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := newRegister(s)
		session := openSession(t, newVirtual(), r)
		r.cut(true)
		g := observe(t.Context(), newVirtual(), s, session.ID(), nil)
		<-g.done
		r.cut(false)
		if err := session.Refresh(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
	})
}

// What only the holder may write carries the moment; a lost answer is resolved as ever,
// also when the attempt after it came too late.
func TestUpdateUnderALease(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		v := newVirtual()
		session := openSession(t, v, s)
		const key = "p/00/root"
		roots := &tooLate{Register: faulty.New(memory.New(), faulty.Script(faulty.Create, key, faulty.FailAfter))}
		before := session.Until()
		time.Sleep(time.Second)
		tag, err := lease.UpdateUnder(t.Context(), session, v, roots, key, "", []byte("mine"))
		if err != nil || tag == "" || roots.attempts != 3 {
			t.Errorf("after %d attempts: %q, %v", roots.attempts, tag, err)
		}
		if !session.Until().After(before) {
			t.Error("the lease was not renewed after an attempt that came too late")
		}
		seen := &signs{Register: s}
		if _, err := lease.UpdateUnder(t.Context(), session, v, seen, "p/01/root", "", []byte("mine")); err != nil || !seen.at.Equal(session.Until()) {
			t.Errorf("signed until %v, want %v; %v", seen.at, session.Until(), err)
		}
		if err := session.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := lease.UpdateUnder(t.Context(), session, v, seen, "p/02/root", "", []byte("x")); !errors.Is(err, lease.ErrLost) {
			t.Errorf("after the session: %v", err)
		}
	})
}

// signs notes until when a write is good.
type signs struct {
	lease.Register
	at time.Time
}

func (s *signs) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	s.at, _ = storage.Deadline(ctx)
	return s.Register.Create(ctx, key, body)
}

// tooLate lets the second attempt to create expire on its way.
type tooLate struct {
	lease.Register
	attempts int
}

func (r *tooLate) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if r.attempts++; r.attempts == 2 {
		return "", storage.ErrExpired
	}
	return r.Register.Create(ctx, key, body)
}
