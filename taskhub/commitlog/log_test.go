package commitlog_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// trusted is a lease that never ends; lost is one that has.
type trusted struct{}

func (trusted) Await(ctx context.Context) error          { return ctx.Err() }
func (trusted) Sign(ctx context.Context) context.Context { return ctx }
func (trusted) Refresh(ctx context.Context) error        { return ctx.Err() }

var errLost = errors.New("lease lost")

type lost struct{ trusted }

func (lost) Await(context.Context) error { return errLost }

// spy counts what reaches the store.
type spy struct {
	storage.Store
	mu    sync.Mutex
	count map[string]int
	// before runs ahead of a request.
	before func(verb, key string)
}

func watch(s storage.Store) *spy { return &spy{Store: s, count: map[string]int{}} }

func (s *spy) saw(verb, key string) {
	s.mu.Lock()
	s.count[verb]++
	s.mu.Unlock()
	if s.before != nil {
		s.before(verb, key)
	}
}

func (s *spy) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	s.saw("get", key)
	return s.Store.Get(ctx, key)
}

func (s *spy) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	s.saw("create", key)
	return s.Store.Create(ctx, key, body)
}

func (s *spy) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	s.saw("list", prefix)
	return s.Store.List(ctx, prefix, after)
}

func newLog(s storage.Store) *commitlog.Log {
	return &commitlog.Log{Store: s, Sched: sched.Real(), Prefix: "p/03/log/"}
}

func record(seq uint64, session string) []byte {
	r := commitlog.Record{
		Kind: commitlog.Commit, Hub: "hub", Session: session, Partition: 3, Epoch: 1, Seq: seq,
		Body: fmt.Appendf(nil, "\x01\x01k\x08%08d", seq),
	}
	copy(r.Nonce[:], session)
	return r.Encode()
}

func stored(t *testing.T, s storage.Store, key string) string {
	t.Helper()
	b, _, err := s.Get(t.Context(), key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeysSortLikeNumbers(t *testing.T) {
	l := newLog(nil)
	seqs := []uint64{1, 9, 10, 99, 100, 1 << 40, 1<<64 - 1}
	for n, seq := range seqs {
		key := l.Key(seq)
		if err := storage.CheckKey(key); err != nil {
			t.Error(err)
		}
		if back, err := commitlog.SeqOfKey(key); err != nil || back != seq {
			t.Errorf("%s reads as %d, %v", key, back, err)
		}
		if n > 0 && key <= l.Key(seqs[n-1]) {
			t.Errorf("%s sorts before its predecessor", key)
		}
	}
	for _, bad := range []string{"", "p/03/log/x", "p/03/log/0000000000000000000x"} {
		if _, err := commitlog.SeqOfKey(bad); err == nil {
			t.Errorf("%q passes for a slot", bad)
		}
	}
}

// Whatever happens to the answer, an Append ends with the truth (E§A5.3).
func TestAppendResolvesLostAnswers(t *testing.T) {
	before, after, late, hang := faulty.FailBefore, faulty.FailAfter, faulty.FailLate, faulty.Hang
	for _, tt := range []struct {
		name    string
		creates []faulty.Fault
		gets    []faulty.Fault
	}{
		{"no fault", nil, nil},
		{"never applied", []faulty.Fault{before}, nil},
		{"applied, answer lost: our own conflict", []faulty.Fault{after}, nil},
		{"applied late", []faulty.Fault{late}, nil},
		{"no answer at all", []faulty.Fault{hang}, nil},
		{"many times", []faulty.Fault{before, before, hang, late, before, before, after}, nil},
		{"the read that settles it is lost too", []faulty.Fault{after}, []faulty.Fault{before, after, hang}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				l := newLog(nil)
				key := l.Key(7)
				creates, gets := faulty.Script(faulty.Create, key, tt.creates...), faulty.Script(faulty.Get, key, tt.gets...)
				s := faulty.New(inner, func(op faulty.Op, k string) faulty.Fault {
					if f := creates(op, k); f != faulty.Pass {
						return f
					}
					return gets(op, k)
				})
				l.Store = s
				rec := record(7, "me")
				if err := l.Append(t.Context(), trusted{}, 7, rec); err != nil {
					t.Fatal(err)
				}
				s.ApplyLate() // lands in a slot that is taken, and changes nothing
				if stored(t, inner, key) != string(rec) {
					t.Error("the slot holds something else")
				}
			})
		})
	}
}

// A late write may land between two attempts: then it was ours.
func TestAppendMeetsItsOwnLateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		l := newLog(nil)
		late := faulty.New(inner, faulty.Script(faulty.Create, l.Key(1), faulty.FailLate))
		s := watch(late)
		s.before = func(verb, _ string) {
			if verb == "create" && s.count["create"] == 2 {
				late.ApplyLate()
			}
		}
		l.Store = s
		rec := record(1, "me")
		if err := l.Append(t.Context(), trusted{}, 1, rec); err != nil || stored(t, inner, l.Key(1)) != string(rec) {
			t.Errorf("got %v", err)
		}
	})
}

// Reading first is wrong: a third of "not there" landed later (E§A5.3).
func TestAppendNeverReadsBeforeAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(nil)
		s := watch(faulty.New(memory.New(), faulty.Script(faulty.Create, l.Key(1), faulty.FailBefore, faulty.Hang, faulty.FailLate)))
		l.Store = s
		if err := l.Append(t.Context(), trusted{}, 1, record(1, "me")); err != nil {
			t.Fatal(err)
		}
		if s.count["get"] != 0 || s.count["create"] != 4 {
			t.Errorf("requests: %v, want 4 creates and no read", s.count)
		}
	})
}

func TestAppendIntoASlotOfAnother(t *testing.T) {
	for _, faults := range [][]faulty.Fault{nil, {faulty.FailBefore}, {faulty.FailAfter}, {faulty.Hang}} {
		synctest.Test(t, func(t *testing.T) {
			inner := memory.New()
			l := newLog(nil)
			other := record(1, "another")
			if _, err := inner.Create(t.Context(), l.Key(1), other); err != nil {
				t.Fatal(err)
			}
			l.Store = faulty.New(inner, faulty.Script(faulty.Create, l.Key(1), faults...))
			err := l.Append(t.Context(), trusted{}, 1, record(1, "me"))
			var taken *commitlog.SlotTakenError
			if !errors.As(err, &taken) || taken.Key != l.Key(1) || string(taken.Bytes) != string(other) {
				t.Fatalf("%v: got %v", faults, err)
			}
			if stored(t, inner, l.Key(1)) != string(other) {
				t.Errorf("%v: the other's record was overwritten", faults)
			}
		})
	}
}

func TestAppendStopsWithTheLease(t *testing.T) {
	s := watch(memory.New())
	if err := newLog(s).Append(t.Context(), lost{}, 1, record(1, "me")); !errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
	if s.count["create"] != 0 {
		t.Error("a write was sent without a lease")
	}
}

// ending loses its lease after so many looks: each attempt must look again.
type ending struct {
	trusted
	left *int
}

func (e ending) Await(context.Context) error {
	if *e.left--; *e.left < 0 {
		return errLost
	}
	return nil
}

func TestEachAttemptNeedsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty.New(memory.New(), nil)
		s.SetOutage(true)
		w, left := watch(s), 3
		if err := newLog(w).Append(t.Context(), ending{left: &left}, 1, record(1, "me")); !errors.Is(err, errLost) {
			t.Errorf("got %v", err)
		}
		if w.count["create"] != 3 {
			t.Errorf("%d attempts under 3 leases", w.count["create"])
		}
	})
}

func TestAppendEndsWithItsContextAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty.New(memory.New(), nil)
		s.SetOutage(true)
		stop := errors.New("the host stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(stop) })
		err := newLog(s).Append(ctx, trusted{}, 1, record(1, "me"))
		if !errors.Is(err, stop) || !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("got %v, want both the cause and the last error", err)
		}
	})
}

func TestARecordThatIsTooLargeIsNotRetried(t *testing.T) {
	s := watch(memory.New())
	err := newLog(s).Append(t.Context(), trusted{}, 1, make([]byte, storage.MaxObject+1))
	if !errors.Is(err, storage.ErrTooLarge) || s.count["create"] != 1 {
		t.Errorf("%v after %d attempts", err, s.count["create"])
	}
}

func fill(t *testing.T, s storage.Store, seqs ...uint64) {
	t.Helper()
	for _, seq := range seqs {
		if _, err := s.Create(t.Context(), newLog(nil).Key(seq), record(seq, "me")); err != nil {
			t.Fatal(err)
		}
	}
}

func tail(ctx context.Context, l *commitlog.Log, after uint64) (seqs []uint64, last commitlog.Slot, err error) {
	for slot, err := range l.Tail(ctx, after) {
		if err != nil {
			return seqs, slot, err
		}
		seqs, last = append(seqs, slot.Record.Seq), slot
	}
	return seqs, last, nil
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stored []uint64
		after  uint64
		want   []uint64
	}{
		{"nothing", nil, 0, nil},
		{"from the first", []uint64{1, 2, 3}, 0, []uint64{1, 2, 3}},
		{"after some", []uint64{1, 2, 3}, 2, []uint64{3}},
		{"after all", []uint64{1, 2, 3}, 3, nil},
		{"a gap ends the log", []uint64{1, 2, 4, 5}, 0, []uint64{1, 2}},
		{"a gap at once", []uint64{5, 6}, 3, nil},
		{"trimmed slots before", []uint64{7, 8}, 6, []uint64{7, 8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := memory.New()
			fill(t, s, tt.stored...)
			got, last, err := tail(t.Context(), newLog(s), tt.after)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
			if n := len(got); n > 0 && last.Key != newLog(s).Key(got[n-1]) {
				t.Errorf("the last slot's key is %s", last.Key)
			}
		})
	}
}

func TestTailOfALongLog(t *testing.T) {
	s := watch(memory.New())
	var all []uint64
	for seq := uint64(1); seq <= 2500; seq++ {
		all = append(all, seq)
	}
	fill(t, s, all...)
	got, _, err := tail(t.Context(), newLog(s), 0)
	if err != nil || !slices.Equal(got, all) {
		t.Errorf("%d records, %v", len(got), err)
	}
	if s.count["get"] != 2500 || s.count["list"] > 3 {
		t.Errorf("requests: %v", s.count)
	}
}

// A fenced owner may still write while its successor reads.
func TestTailSeesWhatIsAddedMeanwhile(t *testing.T) {
	s := memory.New()
	fill(t, s, 1, 2)
	var got []uint64
	for slot, err := range newLog(s).Tail(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, slot.Record.Seq)
		switch slot.Record.Seq {
		case 2:
			fill(t, s, 3)
		case 3:
			fill(t, s, 4, 5)
		}
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("got %v", got)
	}
}

func TestTailOutlivesFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		var all []uint64
		for seq := uint64(1); seq <= 100; seq++ {
			all = append(all, seq)
		}
		fill(t, inner, all...)
		s := faulty.New(inner, faulty.Seeded(1, faulty.Rates{FailBefore: 0.2, FailAfter: 0.2, Hang: 0.05}))
		got, _, err := tail(t.Context(), newLog(s), 0)
		if err != nil || !slices.Equal(got, all) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestTailStopsAtDamageAndNamesIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		body func() []byte
	}{
		{"a flipped bit", func() []byte { b := record(3, "me"); b[40] ^= 1; return b }},
		{"nothing in it", func() []byte { return nil }},
		{"the record of another slot", func() []byte { return record(4, "me") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := memory.New()
			fill(t, s, 1, 2, 4)
			key := newLog(s).Key(3)
			if _, err := s.Create(t.Context(), key, tt.body()); err != nil {
				t.Fatal(err)
			}
			got, slot, err := tail(t.Context(), newLog(s), 0)
			if !slices.Equal(got, []uint64{1, 2}) || !errors.Is(err, commitlog.ErrMalformed) {
				t.Fatalf("got %v, %v", got, err)
			}
			if slot.Key != key || !strings.Contains(err.Error(), key) {
				t.Errorf("slot %q, error %q: must name %s", slot.Key, err, key)
			}
		})
	}
}

func TestTailCanBeLeftEarly(t *testing.T) {
	s := memory.New()
	fill(t, s, 1, 2, 3)
	for range newLog(s).Tail(t.Context(), 0) {
		break // must not be called again
	}
}

// renewable is a lease of which so much is left when it was renewed last; it counts its
// renewals.
type renewable struct {
	trusted
	left      time.Duration
	renewed   time.Time
	refreshes int
}

func (r *renewable) Sign(ctx context.Context) context.Context {
	return storage.Until(ctx, r.renewed.Add(r.left))
}

func (r *renewable) Refresh(context.Context) error {
	r.refreshes++
	r.renewed = time.Now()
	return nil
}

// TestEachAttemptIsSignedAnew: an attempt that came too late is no verdict; the same bytes
// go out again under a lease that was renewed.
func TestEachAttemptIsSignedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		guard := &renewable{left: time.Second, renewed: time.Now().Add(-time.Minute)}
		rec := record(1, "me")
		l := newLog(inner)
		if err := l.Append(t.Context(), guard, 1, rec); err != nil || stored(t, inner, l.Key(1)) != string(rec) {
			t.Errorf("got %v", err)
		}
		if guard.refreshes != 1 {
			t.Errorf("%d renewals, want one", guard.refreshes)
		}
	})
}

// TestExpiredSaysNothingOfAnEarlierAttempt: the first attempt landed and its answer was
// lost; the second came too late; the third finds the first.
func TestExpiredSaysNothingOfAnEarlierAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		l := newLog(inner)
		guard := &renewable{left: time.Second, renewed: time.Now()}
		attempts := 0
		w := watch(faulty.New(inner, faulty.Script(faulty.Create, l.Key(1), faulty.FailAfter)))
		w.before = func(verb, _ string) {
			if verb != "create" {
				return
			}
			if attempts++; attempts == 2 {
				time.Sleep(2 * time.Second) // virtual: it is under way for longer than the lease
			}
		}
		rec := record(1, "me")
		if err := newLog(w).Append(t.Context(), guard, 1, rec); err != nil {
			t.Errorf("got %v", err)
		}
		if attempts != 3 || guard.refreshes != 1 {
			t.Errorf("%d attempts and %d renewals, want 3 and 1", attempts, guard.refreshes)
		}
		if stored(t, inner, l.Key(1)) != string(rec) {
			t.Error("the record is not there")
		}
	})
}

// TestTooLateWithoutALease: when the lease cannot be renewed nothing is sent again.
func TestTooLateWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(memory.New())
		if err := newLog(w).Append(t.Context(), expiring{}, 1, record(1, "me")); !errors.Is(err, errLost) {
			t.Errorf("got %v", err)
		}
		if w.count["create"] != 1 {
			t.Errorf("%d attempts, want 1", w.count["create"])
		}
	})
}

// expiring is a lease that is believed in until a write is refused.
type expiring struct{ trusted }

func (expiring) Sign(ctx context.Context) context.Context { return storage.Until(ctx, time.Now()) }
func (expiring) Refresh(context.Context) error            { return errLost }

// garbled damages the first answers to each GET; the objects are whole.
type garbled struct {
	storage.Store
	mu   sync.Mutex
	left map[string]int
	n    int
}

func (g *garbled) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := g.Store.Get(ctx, key)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.left[key]; !known {
		g.left[key] = g.n
	}
	if err != nil || g.left[key] == 0 {
		return b, tag, err
	}
	g.left[key]--
	if g.left[key]%2 == 0 {
		return b[:len(b)/2], tag, nil
	}
	b[len(b)/2] ^= 4
	return b, tag, nil
}

func TestDamageIsBelievedOnlyWhenItStays(t *testing.T) {
	s := memory.New()
	fill(t, s, 1, 2, 3)
	for n, want := range map[int]bool{1: true, 2: true, 3: false} {
		got, _, err := tail(t.Context(), newLog(&garbled{Store: s, left: map[string]int{}, n: n}), 0)
		if fine := err == nil && len(got) == 3; fine != want {
			t.Errorf("%d bad answers: got %v, %v", n, got, err)
		}
		// Its own record, whose answer was lost, is no other's.
		err = newLog(&garbled{Store: s, left: map[string]int{}, n: n}).Append(t.Context(), trusted{}, 2, record(2, "me"))
		if fine := err == nil; fine != want {
			t.Errorf("%d bad answers: append says %v", n, err)
		}
	}
}
