package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

const prefix = "p/00/table/"

// trusted is a lease that never ends.
type trusted struct{}

func (trusted) Await(context.Context) error              { return nil }
func (trusted) Sign(ctx context.Context) context.Context { return ctx }
func (trusted) Refresh(context.Context) error            { return nil }

func publisher(s storage.Store, epoch uint64) *checkpoint.Publisher {
	return &checkpoint.Publisher{Store: s, Sched: sched.Real(), Prefix: prefix, Epoch: epoch, Guard: trusted{}}
}

func upload(t *testing.T, p *checkpoint.Publisher, db checkpoint.DB) *checkpoint.Manifest {
	t.Helper()
	f, err := db.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	m, err := p.Upload(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func download(ctx context.Context, s storage.Store, o checkpoint.Opener, name string, m *checkpoint.Manifest) (checkpoint.DB, error) {
	b, err := o.Begin(name)
	if err != nil {
		return nil, err
	}
	return checkpoint.Restore(ctx, sched.Real(), s, prefix, m, b)
}

func keys(t *testing.T, s storage.Store) []string {
	t.Helper()
	var all []string
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Key)
	}
	return all
}

func TestPublishAndRestore(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		s := memory.New()
		db := open(t, o, "a", nil)
		for n := uint64(1); n <= 50; n++ {
			apply(t, db, n, puts(fmt.Sprint("k", n), strings.Repeat("v", int(n))))
		}
		m := upload(t, publisher(s, 4), db)
		if p := at(50); m.Seq != 50 || m.Epoch != p.Epoch || m.Digest != fmt.Sprintf("%x", p.Digest) {
			t.Errorf("manifest stands at %d of epoch %d, %s", m.Seq, m.Epoch, m.Digest)
		}
		var want []string
		for _, name := range m.Objects() {
			if !strings.HasPrefix(name, "4-") {
				t.Errorf("object %s: the name must hold the writer's epoch", name)
			}
			want = append(want, prefix+name)
		}
		slices.Sort(want)
		if got := keys(t, s); !slices.Equal(got, want) {
			t.Errorf("bucket holds %v, manifest names %v", got, want)
		}
		// The manifest travels as JSON in the root.
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		read := &checkpoint.Manifest{}
		if err := json.Unmarshal(b, read); err != nil || !reflect.DeepEqual(read, m) {
			t.Fatalf("manifest became %+v, %v", read, err)
		}
		r, err := download(t.Context(), s, o, "b", read)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if !maps.Equal(dump(t, r), dump(t, db)) || r.Position() != at(50) {
			t.Error("restored another state")
		}
	})
}

func TestNoManifestHasNoObjects(t *testing.T) {
	var none *checkpoint.Manifest
	if names := none.Objects(); len(names) != 0 {
		t.Errorf("got %v", names)
	}
}

// once notes the tables of manifests: a local file has one object for its life, and no
// object is written that no manifest names. (Pebble may merge files meanwhile.)
type once struct {
	byFile  map[string]checkpoint.Table
	objects map[string]bool
}

func newOnce() *once { return &once{map[string]checkpoint.Table{}, map[string]bool{}} }

func (o *once) note(t *testing.T, m *checkpoint.Manifest) {
	t.Helper()
	for _, table := range m.Tables {
		if before, ok := o.byFile[table.File]; ok && before != table {
			t.Errorf("file %s was uploaded as %s and again as %s", table.File, before.Name, table.Name)
		}
		o.byFile[table.File] = table
	}
	for _, name := range m.Objects() {
		o.objects[prefix+name] = true
	}
}

func (o *once) check(t *testing.T, s storage.Store) {
	t.Helper()
	for _, key := range keys(t, s) {
		if !o.objects[key] {
			t.Errorf("%s was uploaded for nothing", key)
		}
	}
}

func TestSharedFilesAreUploadedOnce(t *testing.T) {
	s, o := memory.New(), pebbleIn(t, t.TempDir())
	db := open(t, o, "a", nil)
	pub, seen := publisher(s, 1), newOnce()
	apply(t, db, 1, puts("a", "1"))
	first := upload(t, pub, db)
	seen.note(t, first)
	if len(first.Tables) == 0 {
		t.Fatal("a Pebble state has no shared tables")
	}
	// Nothing new: only what changes with every checkpoint.
	again := upload(t, pub, db)
	seen.note(t, again)
	if !slices.Equal(again.Tables, first.Tables) || again.Bundle.Name == first.Bundle.Name {
		t.Errorf("tables %v, bundle %s after %s", again.Tables, again.Bundle.Name, first.Bundle.Name)
	}
	for n := uint64(2); n <= 12; n++ {
		apply(t, db, n, puts(fmt.Sprint("k", n), "1"))
		seen.note(t, upload(t, pub, db))
	}
	seen.check(t, s)
}

// An owner that took over goes on with the tables that it restored from, under a new
// epoch, as does its successor.
func TestRestoredStateKeepsItsTables(t *testing.T) {
	s := memory.New()
	o := pebbleIn(t, t.TempDir())
	db := open(t, o, "e1", nil)
	for n := uint64(1); n <= 20; n++ {
		apply(t, db, n, puts(fmt.Sprint("k", n), "v"))
	}
	m, seen := upload(t, publisher(s, 1), db), newOnce()
	seen.note(t, m)
	for epoch := uint64(2); epoch <= 4; epoch++ {
		// Each owner is another process with another disk.
		next, err := download(t.Context(), s, pebbleIn(t, t.TempDir()), "p0", m)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = next.Close() }()
		pub := publisher(s, epoch)
		pub.Known(m)
		idle := upload(t, pub, next)
		seen.note(t, idle)
		if epoch == 2 && !slices.Equal(idle.Tables, m.Tables) {
			t.Errorf("restored from %v, published %v", m.Tables, idle.Tables)
		}
		apply(t, next, 20+epoch, puts(fmt.Sprint("from", epoch), "v"))
		m = upload(t, pub, next)
		seen.note(t, m)
		if !strings.HasPrefix(m.Bundle.Name, fmt.Sprint(epoch, "-")) {
			t.Errorf("epoch %d wrote %s", epoch, m.Bundle.Name)
		}
	}
	seen.check(t, s)
	last, err := download(t.Context(), s, o, "last", m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = last.Close() }()
	got := dump(t, last)
	if len(got) != 23 || got["from2"] != "v" || got["from4"] != "v" || got["k1"] != "v" || last.Position() != at(24) {
		t.Errorf("after four owners: %v at %d", got, last.Position().Seq)
	}
}

func TestKnownForgetsWhatWasBefore(t *testing.T) {
	s, o := memory.New(), pebbleIn(t, t.TempDir())
	db := open(t, o, "a", nil)
	apply(t, db, 1, puts("a", "1"))
	pub := publisher(s, 1)
	first := upload(t, pub, db)
	pub.Known(nil)
	if second := upload(t, pub, db); second.Tables[0].Name == first.Tables[0].Name {
		t.Error("a table was reused that nobody knows of")
	}
}

// Lost answers do no harm: a name is used for one content only.
func TestUploadOutlivesFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		s := faulty.New(inner, faulty.Seeded(3, faulty.Rates{FailBefore: 0.3, FailAfter: 0.3, FailLate: 0.1, Hang: 0.05}))
		db := open(t, checkpoint.Memory{}, "a", nil)
		pub := publisher(s, 1)
		for n := uint64(1); n <= 10; n++ {
			apply(t, db, n, puts(fmt.Sprint("k", n), "v"))
			m := upload(t, pub, db)
			s.ApplyLate()
			r, err := download(t.Context(), s, checkpoint.Memory{}, "b", m)
			if err != nil || !maps.Equal(dump(t, r), dump(t, db)) {
				t.Fatalf("checkpoint %d: %v", n, err)
			}
		}
	})
}

func TestUploadAfterAFailedOneIsWhole(t *testing.T) {
	s := memory.New()
	down := faulty.New(s, nil)
	o := pebbleIn(t, t.TempDir())
	db := open(t, o, "a", nil)
	apply(t, db, 1, puts("a", "1"))
	pub := publisher(down, 1)
	f, err := db.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	down.SetOutage(true)
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := pub.Upload(ctx, f); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	f.Release()
	down.SetOutage(false)
	m := upload(t, pub, db)
	r, err := download(t.Context(), s, o, "b", m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if !maps.Equal(dump(t, r), dump(t, db)) {
		t.Error("restored another state")
	}
}

func TestRestoreNoticesDamageAndNamesIt(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		source := memory.New()
		db := open(t, o, "a", nil)
		for n := uint64(1); n <= 30; n++ {
			apply(t, db, n, puts(fmt.Sprint("k", n), "v"))
		}
		m := upload(t, publisher(source, 1), db)
		for name, damage := range map[string]func(body []byte) []byte{
			"missing":       func([]byte) []byte { return nil },
			"bit flipped":   func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
			"cut short":     func(b []byte) []byte { return b[:len(b)-1] },
			"a byte longer": func(b []byte) []byte { return append(b, 0) },
		} {
			for _, object := range m.Objects() {
				t.Run(name+" "+object, func(t *testing.T) {
					s := memory.New()
					for _, key := range keys(t, source) {
						b, _, err := source.Get(t.Context(), key)
						if err != nil {
							t.Fatal(err)
						}
						if key == prefix+object {
							b = damage(b)
						}
						if b == nil {
							continue
						}
						if _, err := s.Create(t.Context(), key, b); err != nil {
							t.Fatal(err)
						}
					}
					_, err := download(t.Context(), s, o, "b", m)
					if !errors.Is(err, checkpoint.ErrDamaged) || !strings.Contains(err.Error(), prefix+object) {
						t.Errorf("got %v, want ErrDamaged about %s", err, prefix+object)
					}
				})
			}
		}
	})
}

// A manifest of damaged bytes with fitting checksums must not get past the bundle.
func TestRestoreOfAMalformedBundle(t *testing.T) {
	s := memory.New()
	db := open(t, checkpoint.Memory{}, "a", nil)
	apply(t, db, 1, puts("a", "1"))
	pub := publisher(s, 1)
	m := upload(t, pub, db)
	body := []byte("\x05state\xff\xff\xff\xff\x0f")
	key := prefix + m.Bundle.Name
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	m.Bundle.Bytes, m.Bundle.SHA256 = int64(len(body)), sum(body)
	if _, err := download(t.Context(), s, checkpoint.Memory{}, "b", m); !errors.Is(err, checkpoint.ErrDamaged) || !strings.Contains(err.Error(), key) {
		t.Errorf("got %v", err)
	}
}

// An outage is not damage: it is waited out.
func TestRestoreWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		db := open(t, checkpoint.Memory{}, "a", nil)
		apply(t, db, 1, puts("a", "1"))
		m := upload(t, publisher(inner, 1), db)
		s := faulty.New(inner, faulty.Script(faulty.Get, prefix+m.Bundle.Name, faulty.FailBefore, faulty.Hang, faulty.FailAfter))
		r, err := download(t.Context(), s, checkpoint.Memory{}, "b", m)
		if err != nil || r.Position() != at(1) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPutOnce(t *testing.T) {
	s := memory.New()
	for range 2 { // the second finds its own
		if err := checkpoint.PutOnce(t.Context(), sched.Real(), trusted{}, s, "p/00/payload/1-1", []byte("x")); err != nil {
			t.Error(err)
		}
	}
	if err := checkpoint.PutOnce(t.Context(), sched.Real(), trusted{}, s, "no key", nil); !errors.Is(err, storage.ErrInvalidKey) {
		t.Errorf("got %v", err)
	}
}

// short is a lease whose first moment is over; renewed, it is good for an hour.
type short struct {
	trusted
	until     time.Time
	refreshes int
	lost      error
}

func (s *short) Sign(ctx context.Context) context.Context { return storage.Until(ctx, s.until) }

func (s *short) Refresh(context.Context) error {
	s.refreshes++
	s.until = time.Now().Add(time.Hour)
	return s.lost
}

// TestPutOnceRenewsTheLease: an object that came too late is sent again, unless the lease
// is lost.
func TestPutOnceRenewsTheLease(t *testing.T) {
	s := memory.New()
	lease := &short{until: time.Now()}
	if err := checkpoint.PutOnce(t.Context(), sched.Real(), lease, s, "p/00/payload/1-1", []byte("x")); err != nil || lease.refreshes != 1 {
		t.Errorf("got %v after %d renewals", err, lease.refreshes)
	}
	if _, _, err := s.Get(t.Context(), "p/00/payload/1-1"); err != nil {
		t.Error(err)
	}
	gone := errors.New("lost")
	lease = &short{until: time.Now(), lost: gone}
	if err := checkpoint.PutOnce(t.Context(), sched.Real(), lease, s, "p/00/payload/1-2", []byte("x")); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Get(t.Context(), "p/00/payload/1-2"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an object was written without a lease: %v", err)
	}
}
