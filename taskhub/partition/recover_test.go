package partition

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/lease"
)

// recovering is a recovery that is about to begin.
type recovering struct {
	*rig
	hooks   *hooked
	session *lease.Session
	free    string // the session that is known to have ended
}

func (s *recovering) run() (*recovery, error) {
	return recoverPartition(s.Context(), s.config(s.session, s.hooks), s.free)
}

// on lets f happen just before the first request for a key.
func (s *recovering) on(verb, key string, f func()) {
	s.hooks.before = map[string]func(){verb + " " + key: f}
}

// recoverIn is a recovery over what given has put into a fresh bucket.
func recoverIn(t *testing.T, given func(s *recovering), check func(s *recovering, r *recovery, err error)) {
	t.Helper()
	inBubble(t, func(r *rig) {
		s := &recovering{rig: r, hooks: &hooked{}, session: r.session()}
		given(s)
		rec, err := s.run()
		check(s, rec, err)
	})
}

func TestWhoMayClaim(t *testing.T) {
	ownedBy := func(owner string) func(*Root) { return func(root *Root) { root.Owner, root.WakeAt = owner, 7 } }
	for _, tt := range []struct {
		name  string
		given func(s *recovering)
		epoch uint64 // the new one; 0: it is refused, and the root stays as it was
		err   error
	}{
		{"a partition that never was", func(*recovering) {}, 1, nil},
		{"released", func(s *recovering) { s.writeRoot(4, ownedBy("")) }, 5, nil},
		{"ours already", func(s *recovering) { s.writeRoot(4, ownedBy(s.session.ID())) }, 5, nil},
		{"of a session that has ended", func(s *recovering) { s.writeRoot(4, ownedBy("gone")); s.free = "gone" }, 5, nil},
		{"of a session that lives", func(s *recovering) { s.writeRoot(4, ownedBy("another")) }, 0, ErrOwned},
		{"of another session than the one that has ended", func(s *recovering) { s.writeRoot(4, ownedBy("another")); s.free = "gone" }, 0, ErrOwned},
		{"claimed by another host just before us", func(s *recovering) {
			s.writeRoot(4)
			s.on("replace", s.bucket.rootKey(), func() { s.writeRoot(5, ownedBy("another")) })
		}, 0, ErrFenced},
		{"of another hub", func(s *recovering) { s.writeRoot(4, func(root *Root) { root.Hub = "other" }) }, 0, &CorruptError{}},
		{"of another partition", func(s *recovering) { s.writeRoot(4, func(root *Root) { root.Partition = 1 }) }, 0, &CorruptError{}},
		{"damaged", func(s *recovering) { s.put(s.bucket.rootKey(), []byte("{}")) }, 0, &CorruptError{}},
		{"no session", func(s *recovering) { s.writeRoot(4); s.must(s.session.Close(s.Context())) }, 0, lease.ErrLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before []byte
			given := func(s *recovering) {
				tt.given(s)
				before = s.get(s.bucket.rootKey())
			}
			recoverIn(t, given, func(s *recovering, r *recovery, err error) {
				if tt.epoch == 0 {
					s.refused(err, tt.err, 0)
					if now := s.get(s.bucket.rootKey()); !errors.Is(tt.err, ErrFenced) && !bytes.Equal(now, before) {
						t.Errorf("the root has become %s", now)
					}
					if s.get(s.slot(1)) != nil {
						t.Error("a record was written")
					}
					return
				}
				s.must(err)
				if root := s.root(); root.Epoch != tt.epoch || root.Owner != s.session.ID() || root.WakeAt != 0 || r.root.Epoch != tt.epoch {
					t.Errorf("the root is %+v, we are under epoch %d", root, r.root.Epoch)
				}
				rec, err := commitlog.Decode(s.get(s.slot(1)))
				if err != nil || rec.Kind != commitlog.Epoch || rec.Epoch != tt.epoch || len(rec.Body) != 0 {
					t.Errorf("the first slot has %+v, %v", rec, err)
				}
			})
		})
	}
}

// The log is read up to its first gap, and what it cannot be is told with its key. The
// partition was released under epoch 4, so the recovery is under 5.
func TestReplay(t *testing.T) {
	change := func(f func(*commitlog.Record)) func(s *recovering) {
		return func(s *recovering) {
			s.commits(4, 2)
			rec := s.record(4, f)
			s.put(s.slot(3), rec.Encode())
		}
	}
	for _, tt := range []struct {
		name     string
		given    func(s *recovering)
		replayed int
		noted    int    // of the records, in the state
		at       uint64 // where the epoch record stands; 0: it is refused
		err      error
		key      uint64
	}{
		{"nothing", func(*recovering) {}, 0, 0, 1, nil, 0},
		{"some records", func(s *recovering) { s.commits(4, 3) }, 3, 3, 4, nil, 0},
		{"records of several owners", func(s *recovering) { s.commits(2, 2); s.commits(4, 2) }, 4, 4, 5, nil, 0},
		{"a fenced owner's record is void", func(s *recovering) { s.commits(4, 2); s.straggler(3); s.commits(4, 1) }, 3, 3, 5, nil, 0},
		{"void records at the end", func(s *recovering) { s.commits(4, 1); s.straggler(3); s.straggler(1) }, 1, 1, 4, nil, 0},
		{"a gap ends it", func(s *recovering) { s.commits(4, 4); s.must(s.store.Delete(s.Context(), s.slot(3))) }, 2, 2, 3, nil, 0},
		{"a record of a higher epoch", change(func(r *commitlog.Record) { r.Epoch = 6 }), 0, 0, 0, ErrFenced, 3},
		{"a record of another hub", change(func(r *commitlog.Record) { r.Hub = "other" }), 0, 0, 0, &CorruptError{}, 3},
		{"a record of another partition", change(func(r *commitlog.Record) { r.Partition = 1 }), 0, 0, 0, &CorruptError{}, 3},
		{"a record of another slot", change(func(r *commitlog.Record) { r.Seq = 4 }), 0, 0, 0, commitlog.ErrMalformed, 3},
		{"a record after another history", change(func(r *commitlog.Record) { r.Prev[0]++ }), 0, 0, 0, &CorruptError{}, 3},
		{"a record whose batch is none", change(func(r *commitlog.Record) { r.Body = []byte("garbage") }), 0, 0, 0, &CorruptError{}, 3},
		{"garbage", func(s *recovering) { s.commits(4, 2); s.put(s.slot(3), []byte("garbage")) }, 0, 0, 0, commitlog.ErrMalformed, 3},
		{"garbage, and another host has it by now", func(s *recovering) {
			s.put(s.slot(1), []byte("garbage"))
			s.on("get", s.slot(1), func() { s.writeRoot(6, func(root *Root) { root.Owner = "another" }) })
		}, 0, 0, 0, ErrFenced, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := func(s *recovering) { s.writeRoot(4); tt.given(s) }
			recoverIn(t, given, func(s *recovering, r *recovery, err error) {
				if tt.at == 0 {
					s.refused(err, tt.err, tt.key)
					return
				}
				s.must(err)
				s.recovered(r, tt.replayed, tt.noted, tt.at)
			})
		})
	}
}

// recovered checks what a recovery has rebuilt, and that its epoch record stands in slot at.
func (s *recovering) recovered(r *recovery, replayed, noted int, at uint64) {
	s.Helper()
	if n := s.noted(r.db); r.records != replayed || len(n) != noted {
		s.Errorf("%d records are replayed, and the state knows %q; want %d and %d", r.records, n, replayed, noted)
	}
	if pos := r.db.Position(); pos.Seq != at || pos.Epoch != r.root.Epoch {
		s.Errorf("the state stands at record %d, epoch %d; want %d, %d", pos.Seq, pos.Epoch, at, r.root.Epoch)
	}
	rec, err := commitlog.Decode(s.get(s.slot(at)))
	if err != nil || rec.Kind != commitlog.Epoch || rec.Epoch != r.root.Epoch || rec.Session != s.session.ID() {
		s.Errorf("slot %d has %+v, %v", at, rec, err)
	}
}

// Between the end of the log and the epoch record the owner before may write what it still
// has under way.
func TestTheEpochRecordFindsAFreeSlot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		taken func(s *recovering)
		noted int
		at    uint64
		err   error
	}{
		{"free", func(*recovering) {}, 2, 3, nil},
		{"taken by the owner before", func(s *recovering) { s.commits(4, 1) }, 3, 4, nil},
		{"taken by it twice", func(s *recovering) { s.commits(4, 2) }, 4, 5, nil},
		{"taken by one that is fenced", func(s *recovering) { s.straggler(2) }, 2, 4, nil},
		{"taken by the next owner", func(s *recovering) { s.commits(6, 1) }, 0, 0, ErrFenced},
		{"taken by garbage", func(s *recovering) { s.put(s.slot(3), []byte("garbage")) }, 0, 0, &CorruptError{}},
		{"our answer is lost", func(s *recovering) { s.hooks.lost = map[string]int{s.slot(3): 2} }, 2, 3, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := func(s *recovering) {
				s.commits(4, 2)
				s.writeRoot(4)
				s.on("create", s.slot(3), func() { tt.taken(s) })
			}
			recoverIn(t, given, func(s *recovering, r *recovery, err error) {
				if tt.at == 0 {
					s.refused(err, tt.err, 3)
					return
				}
				s.must(err)
				s.recovered(r, tt.noted, tt.noted, tt.at)
			})
		})
	}
}

// The log has six records; checkpoints stand after two and after four of them.
func TestCheckpointsThatCannotBeUsed(t *testing.T) {
	const trimmed = true
	spoil := func(s *recovering, m *checkpoint.Manifest) { s.put(s.tables(m)[0], []byte("garbage")) }
	lose := func(s *recovering, m *checkpoint.Manifest) { s.must(s.store.Delete(s.Context(), s.tables(m)[0])) }
	for _, tt := range []struct {
		name     string
		trimmed  bool // the log begins after the older checkpoint
		spoiled  func(s *recovering, newest, older *checkpoint.Manifest)
		replayed int
		fellBack bool
		err      error
	}{
		{"both are good", trimmed, func(*recovering, *checkpoint.Manifest, *checkpoint.Manifest) {}, 2, false, nil},
		{"the newest is damaged", trimmed, func(s *recovering, newest, _ *checkpoint.Manifest) { spoil(s, newest) }, 4, true, nil},
		{"the newest is missing", trimmed, func(s *recovering, newest, _ *checkpoint.Manifest) { lose(s, newest) }, 4, true, nil},
		{"the older is not looked at", trimmed, func(s *recovering, _, older *checkpoint.Manifest) { lose(s, older) }, 2, false, nil},
		{"both are damaged", trimmed, func(s *recovering, newest, older *checkpoint.Manifest) { spoil(s, newest); lose(s, older) }, 0, false, checkpoint.ErrDamaged},
		{"there is one, and the whole log", false, func(s *recovering, newest, _ *checkpoint.Manifest) {
			spoil(s, newest)
			s.writeRoot(4, func(root *Root) { root.Checkpoint = newest })
		}, 6, true, nil},
		{"there is one, and the log is trimmed", trimmed, func(s *recovering, newest, _ *checkpoint.Manifest) {
			spoil(s, newest)
			s.writeRoot(4, func(root *Root) { root.Checkpoint, root.TrimBelow = newest, 3 })
		}, 0, false, checkpoint.ErrDamaged},
		{"there is none, and the log is trimmed", trimmed, func(s *recovering, _, _ *checkpoint.Manifest) {
			s.writeRoot(4, func(root *Root) { root.TrimBelow = 3 })
		}, 0, false, &CorruptError{}},
		{"it is missing since another host collected it", trimmed, func(s *recovering, newest, _ *checkpoint.Manifest) {
			s.on("get", s.tables(newest)[0], func() {
				lose(s, newest)
				s.writeRoot(6, func(root *Root) { root.Owner = "another" })
			})
		}, 0, false, ErrFenced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := func(s *recovering) {
				s.commits(4, 2)
				older := s.uploaded()
				s.commits(4, 2)
				newest := s.uploaded()
				s.commits(4, 2)
				s.writeRoot(4, func(root *Root) {
					root.Checkpoint, root.Previous = newest, older
					if tt.trimmed {
						root.TrimBelow = 3
					}
				})
				if tt.trimmed {
					s.must(s.store.Delete(s.Context(), s.slot(1)))
					s.must(s.store.Delete(s.Context(), s.slot(2)))
				}
				tt.spoiled(s, newest, older)
			}
			recoverIn(t, given, func(s *recovering, r *recovery, err error) {
				if tt.err != nil {
					s.refused(err, tt.err, 0)
					if s.get(s.slot(7)) != nil {
						t.Error("an epoch record was written")
					}
					return
				}
				s.must(err)
				s.recovered(r, tt.replayed, 6, 7)
				if r.fellBack != tt.fellBack {
					t.Errorf("it fell back: %v", r.fellBack)
				}
			})
		})
	}
}

// A host that loses its session, or the partition, while it recovers does not serve.
func TestNobodyServesWhatWasTakenAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(s *recovering)
		err   error
	}{
		{"the session ends while a record is read", func(s *recovering) {
			s.on("get", s.slot(1), func() { s.must(s.session.Close(context.Background())) })
		}, lease.ErrLost},
		{"the session ends before the epoch record", func(s *recovering) {
			s.on("create", s.slot(3), func() { s.must(s.session.Close(context.Background())) })
		}, lease.ErrLost},
		{"the partition is taken over after the epoch record", func(s *recovering) {
			s.on("create", s.slot(3), func() { s.writeRoot(6, func(root *Root) { root.Owner = "another" }) })
		}, ErrFenced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := func(s *recovering) { s.commits(4, 2); s.writeRoot(4); tt.given(s) }
			recoverIn(t, given, func(s *recovering, _ *recovery, err error) { s.refused(err, tt.err, 0) })
		})
	}
}

// What Verify reports is what a recovery stumbles over; it changes nothing.
func TestVerifyNamesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(r *rig)
		want  []string // one problem has it; none: all is well
	}{
		{"never claimed", func(*rig) {}, nil},
		{"all is well", func(r *rig) { r.commits(4, 2); r.writeRoot(4) }, nil},
		{"a damaged root", func(r *rig) { r.put(r.bucket.rootKey(), []byte("{}")) }, []string{"p/03/root"}},
		{"a root of another hub", func(r *rig) { r.writeRoot(4, func(root *Root) { root.Hub = "other" }) }, []string{"of hub other"}},
		{"garbage in the log", func(r *rig) { r.commits(4, 2); r.writeRoot(4); r.put(r.slot(2), []byte("x")) }, []string{"00000000000000000002"}},
		{"a higher epoch in the log", func(r *rig) { r.commits(6, 1); r.writeRoot(4) }, []string{"higher epoch"}},
		{"a missing table", func(r *rig) {
			r.commits(4, 2)
			m := r.uploaded()
			r.writeRoot(4, func(root *Root) { root.Checkpoint = m })
			r.must(r.store.Delete(r.Context(), r.tables(m)[0]))
		}, []string{"is missing"}},
		{"both tables missing", func(r *rig) {
			r.commits(4, 2)
			older := r.uploaded()
			r.commits(4, 2)
			newest := r.uploaded()
			r.writeRoot(4, func(root *Root) { root.Checkpoint, root.Previous = newest, older })
			r.must(r.store.Delete(r.Context(), r.tables(newest)[0]))
			r.must(r.store.Delete(r.Context(), r.tables(older)[0]))
		}, []string{"previous checkpoint", "is missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				tt.given(r)
				rep, err := r.bucket.Verify(r.Context(), checkpoint.Memory{})
				r.must(err)
				if len(rep.Problems) != len(tt.want) {
					t.Errorf("problems: %q, want %d", rep.Problems, len(tt.want))
				}
				for _, want := range tt.want {
					if !slices.ContainsFunc(rep.Problems, func(p string) bool { return strings.Contains(p, want) }) {
						t.Errorf("problems: %q, want one with %q", rep.Problems, want)
					}
				}
			})
		})
	}
}
