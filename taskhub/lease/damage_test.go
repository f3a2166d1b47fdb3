package lease_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1 << (at % 8)
	return b
}

func bytesOf(t *testing.T, r lease.Register, id string) ([]byte, storage.Tag) {
	t.Helper()
	b, tag, err := r.Get(t.Context(), prefix+id)
	if err != nil {
		t.Fatal(err)
	}
	return b, tag
}

// rot flips a bit of a session's object, as a disk would under a store whose tags are
// content hashes: the tag changes too.
func rot(t *testing.T, s storage.Store, id string, at int) {
	t.Helper()
	b, tag := bytesOf(t, s, id)
	if _, err := s.Replace(t.Context(), prefix+id, tag, flipped(b, at)); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlippedBitOfASessionIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		good, _ := bytesOf(t, s, session.ID())
		for at := range good {
			for bit := range 8 {
				b := bytes.Clone(good)
				b[at] ^= 1 << bit
				if r, err := lease.Decode("session/x", b); !errors.Is(err, checked.ErrDamaged) || !strings.Contains(err.Error(), "session/x") {
					t.Errorf("byte %d, bit %d: %+v, %v", at, bit, r, err)
				}
			}
		}
	})
}

// A holder that died with a record that cannot be read is waited for as long as its lease,
// which its id tells, and no proof of death counts that rests on the record.
func TestADamagedSessionThatIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		good := sealed(`{"format":1,"id":"x-15000","state":"live","version":"v1","leaseMillis":15000}`)
		for at := range good {
			id := strings.Repeat("x", at+1) + "-15000"
			if _, err := s.Create(t.Context(), prefix+id, flipped(good, at)); err != nil {
				t.Fatal(err)
			}
			var bad error
			o := lease.Observer{
				Config: config(newVirtual(), s), Dead: func(lease.Record) bool { return true },
				Seen: func(_ lease.Record, err error) { bad = err },
			}
			began := time.Now()
			r, err := o.Gone(t.Context(), id)
			if took := time.Since(began); err != nil || r.State != lease.Evicted || took < leaseTime || took > 2*leaseTime {
				t.Errorf("byte %d: %s after %v, %v", at, r.State, took, err)
			}
			if !errors.Is(bad, checked.ErrDamaged) || !strings.Contains(bad.Error(), prefix+id) {
				t.Errorf("byte %d: its observer is told %v", at, bad)
			}
			if now := read(t, s, id); now.State != lease.Evicted || now.ID != id {
				t.Errorf("byte %d: the record says %+v", at, now)
			}
		}
	})
}

// renumbered is a register whose tags are versions, like those of a table: damage to a
// record does not change them.
type renumbered struct {
	lease.Register
	mu  sync.Mutex
	bad storage.Tag // of the version that is damaged
}

func (r *renumbered) damage(t *testing.T, id string) {
	t.Helper()
	_, tag := bytesOf(t, r.Register, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = tag
}

func (r *renumbered) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := r.Register.Get(ctx, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && tag == r.bad {
		b = flipped(b, len(b)/2)
	}
	return b, tag, err
}

// A holder that lives writes its record anew with the next renewal.
func TestARenewalMendsADamagedSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		r := &renumbered{Register: s}
		session := openSession(t, newVirtual(), r)
		ctx, cancel := context.WithCancel(t.Context())
		g := observe(ctx, newVirtual(), r, session.ID(), nil)
		for range 20 {
			r.damage(t, session.ID())
			time.Sleep(leaseTime/2 + time.Millisecond) // a renewal at least
			if !g.pending() || session.Lost().Fired() || !session.Alive() {
				t.Fatalf("a session that is renewed was evicted: %v, %v", g.rec.State, g.err)
			}
			if now := read(t, r, session.ID()); now.State != lease.Live {
				t.Fatalf("the record says %s", now.State)
			}
		}
		cancel()
		<-g.done
	})
}

// Where damage changes the tag a holder that lives cannot write its record anew: it may have
// been evicted before. It gives up, says so, and nobody waits for its lease.
func TestAHolderBuriesItsDamagedSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		size, _ := bytesOf(t, s, session.ID())
		rot(t, s, session.ID(), len(size)/3)
		g := observe(t.Context(), newVirtual(), s, session.ID(), func(lease.Record) bool { return true })
		<-g.done
		if g.err != nil || g.rec.State != lease.Closed || g.took > leaseTime/2 {
			t.Errorf("%s after %v, %v", g.rec.State, g.took, g.err)
		}
		if !session.Lost().Fired() || session.Alive() {
			t.Error("others may take over while the holder trusts its lease")
		}
		if err := session.Await(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Await: %v", err)
		}
	})
}

// The same at the very end: the record says that the holder has closed.
func TestCloseOfADamagedSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		session := openSession(t, newVirtual(), s)
		rot(t, s, session.ID(), 40)
		if err := session.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if now := read(t, s, session.ID()); now.State != lease.Closed {
			t.Errorf("the record says %s", now.State)
		}
	})
}

// A damaged session stays, for people: whoever still waits for it replaces it.
func TestSweepLeavesADamagedSession(t *testing.T) {
	bubble(t, func(t *testing.T, s storage.Store) {
		silent(t, s, "old-15000", leaseTime)
		rot(t, s, "old-15000", 10)
		time.Sleep(48 * time.Hour)
		silent(t, s, "new-15000", leaseTime)
		if err := lease.Sweep(t.Context(), s, prefix, 24*time.Hour); err != nil {
			t.Error(err)
		}
		bytesOf(t, s, "old-15000")
	})
}
