package partition

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/lease"
)

// A commit of epoch 5 is to be written after record 2, so into slot 3.
func TestWriteFindsTheNextFreeSlot(t *testing.T) {
	type setup struct {
		*rig
		hooks   *hooked
		session *lease.Session
	}
	inSlot := func(s setup, seq, epoch uint64) {
		s.put(s.slot(seq), s.record(epoch, func(r *commitlog.Record) { r.Seq = seq }).Encode())
	}
	for _, tt := range []struct {
		name  string
		given func(s setup)
		seq   uint64 // in which slot it ends; 0: in none
		err   error
		key   uint64 // the slot that the error names
	}{
		{"it is free", func(setup) {}, 3, nil, 0},
		{"the answer is lost: it is taken by ourselves", func(s setup) { s.hooks.lost = map[string]int{s.slot(3): 1} }, 3, nil, 0},
		{"all answers are lost for a while", func(s setup) { s.hooks.lost = map[string]int{s.slot(3): 7} }, 3, nil, 0},
		{"taken by a lower epoch: the next one", func(s setup) { inSlot(s, 3, 4) }, 4, nil, 0},
		{"taken by lower epochs, twice", func(s setup) { inSlot(s, 3, 1); inSlot(s, 4, 4) }, 5, nil, 0},
		{"taken by a lower epoch, and the next answer is lost", func(s setup) {
			inSlot(s, 3, 4)
			s.hooks.lost = map[string]int{s.slot(4): 2}
		}, 4, nil, 0},
		{"taken by a lower epoch just before us", func(s setup) {
			s.hooks.before = map[string]func(){"create " + s.slot(3): func() { inSlot(s, 3, 4) }}
		}, 4, nil, 0},
		{"taken by a higher epoch: fenced", func(s setup) { inSlot(s, 3, 6) }, 0, ErrFenced, 3},
		{"a lower epoch first, then a higher one", func(s setup) { inSlot(s, 3, 4); inSlot(s, 4, 6) }, 0, ErrFenced, 4},
		{"another writer under our epoch", func(s setup) { inSlot(s, 3, 5) }, 0, &CorruptError{}, 3},
		{"garbage", func(s setup) { s.put(s.slot(3), []byte("garbage")) }, 0, commitlog.ErrMalformed, 3},
		{"a lower epoch first, then garbage", func(s setup) { inSlot(s, 3, 4); s.put(s.slot(4), nil) }, 0, commitlog.ErrMalformed, 4},
		{"no session", func(s setup) { s.must(s.session.Close(s.Context())) }, 0, lease.ErrLost, 0},
		{"the session ends before the slot is looked into", func(s setup) {
			s.hooks.lost = map[string]int{s.slot(3): 1}
			s.hooks.before = map[string]func(){"get " + s.slot(3): func() { s.must(s.session.Close(context.Background())) }}
		}, 0, lease.ErrLost, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.commits(5, 2)
				s := setup{rig: r, hooks: &hooked{}, session: r.session()}
				p := &Partition{cfg: *r.config(s.session, s.hooks), epoch: 5, db: r.state, ctx: r.Context()}
				tt.given(s)
				at := r.state.Position()
				next, err := p.write(at, core.Sealed{Batch: entry(99), Number: 1})
				if tt.seq == 0 {
					r.refused(err, tt.err, tt.key)
					if next != at || r.state.Position() != at || len(r.noted(r.state)) != 2 {
						t.Errorf("the state has moved to %+v, and the log to %+v", r.state.Position(), next)
					}
					return
				}
				r.must(err)
				body := r.get(r.slot(tt.seq))
				rec, err := commitlog.Decode(body)
				r.must(err)
				if rec.Epoch != 5 || rec.Seq != tt.seq || rec.Prev != at.Digest || rec.Session != s.session.ID() || !bytes.Equal(rec.Body, entry(99)) {
					t.Errorf("slot %d has %+v", tt.seq, rec)
				}
				if want := (checkpoint.Position{Seq: tt.seq, Epoch: 5, Digest: sha256.Sum256(body)}); next != want || r.state.Position() != want {
					t.Errorf("the log stands at %+v, the state at %+v; want %+v", next, r.state.Position(), want)
				}
				if !slices.Contains(r.noted(r.state), "\xffrecord 99") || r.get(r.slot(tt.seq+1)) != nil {
					t.Error("the batch is not in the state, or twice in the log")
				}
			})
		})
	}
}

// refused checks why something was refused, and that the slot is named.
func (r *rig) refused(err, want error, slot uint64) {
	r.Helper()
	var corrupt *CorruptError
	switch wantCorrupt := errors.As(want, &corrupt); {
	case err == nil:
		r.Errorf("it was not refused")
	case wantCorrupt && !errors.As(err, &corrupt), !wantCorrupt && !errors.Is(err, want):
		r.Errorf("refused with %v, want %v", err, want)
	case slot != 0 && !strings.Contains(err.Error(), r.slot(slot)):
		r.Errorf("%v does not name slot %d", err, slot)
	}
}

// An answer that changes nothing needs no slot, but a live lease.
func TestAnswersAreGivenUnderALease(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.commits(5, 2)
		session := r.session()
		p := &Partition{cfg: *r.config(session, &hooked{}), epoch: 5, db: r.state, ctx: r.Context()}
		at := r.state.Position()
		if next, err := p.write(at, core.Sealed{}); err != nil || next != at {
			t.Errorf("under a lease: %+v, %v", next, err)
		}
		r.must(session.Close(r.Context()))
		if _, err := p.write(at, core.Sealed{}); !errors.Is(err, lease.ErrLost) {
			t.Errorf("without one: %v", err)
		}
		if r.get(r.slot(3)) != nil {
			t.Error("a record was written")
		}
	})
}

// Garbage in the next slot parks the partition if it is ours. Else the new owner may rightly
// have done what looks like damage.
func TestDamageIsBelievedOnlyByTheOwner(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(r *rig, epoch uint64)
		err   error
	}{
		{"it is ours", func(*rig, uint64) {}, &CorruptError{}},
		{"another host has it", func(r *rig, epoch uint64) { r.writeRoot(epoch+1, func(root *Root) { root.Owner = "another" }) }, ErrFenced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				p, err := Open(r.Context(), *r.config(r.session(), &hooked{}), "")
				r.must(err)
				r.put(r.slot(2), []byte("garbage")) // slot 1 has the epoch record
				tt.given(r, p.Epoch())
				refused := r.bucket.Sched.NewSignal()
				forget := p.Track(func(error) { refused.Fire() })
				defer forget()
				p.Do(func(c *core.Core, now int64) {
					c.Start(now, &core.Start{ID: "a", Name: "f", Reply: func(bool, error) { t.Error("it was answered") }})
				}, func(err error) { t.Error(err) })
				r.must(refused.Wait(r.Context()))
				if err := p.Err(); !errors.Is(err, tt.err) {
					r.refused(err, tt.err, 0)
				}
			})
		})
	}
}
