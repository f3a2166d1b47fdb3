package probe_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/probe"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

var probes = map[string]func(context.Context, storage.Store, string) error{"quick": probe.Quick, "race": probe.Race}

func wantEmpty(t *testing.T, s storage.Store) {
	t.Helper()
	for e, err := range s.List(context.Background(), "", "") {
		t.Errorf("left behind: %s, %v", e.Key, err)
	}
}

func TestGoodStores(t *testing.T) {
	dir, err := file.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for name, run := range probes {
		for _, s := range []storage.Store{memory.New(), dir} {
			if err := run(t.Context(), s, "hub/x"); err != nil {
				t.Errorf("%s of %v: %v", name, s, err)
			}
			wantEmpty(t, s)
		}
	}
}

func TestMinIO(t *testing.T) {
	s := miniotest.Start(t).Open(t)
	for name, run := range probes {
		if err := run(t.Context(), s, "hub"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantEmpty(t, s)
}

// TestLostAnswersAreNoVerdict: a good store behind a bad line passes.
func TestLostAnswersAreNoVerdict(t *testing.T) {
	for seed := range uint64(5) {
		inner := memory.New()
		s := faulty.New(inner, faulty.Only(
			faulty.Seeded(seed, faulty.Rates{FailBefore: 0.1, FailAfter: 0.1}), faulty.Create, faulty.Replace))
		if err := probe.Race(t.Context(), s, "hub"); errors.Is(err, probe.ErrUnfit) {
			t.Errorf("seed %d: %v", seed, err)
		}
		wantEmpty(t, inner)
	}
}

// TestConflictWithItselfIsNoVerdict: the answer to a write that was carried out is lost,
// and so is the one to the question whose write the conflict is with.
func TestConflictWithItselfIsNoVerdict(t *testing.T) {
	inner := memory.New()
	seen := map[faulty.Op]int{}
	s := faulty.New(inner, func(op faulty.Op, _ string) faulty.Fault {
		seen[op]++
		switch {
		case op == faulty.Replace && seen[op] == 1:
			return faulty.FailAfter
		case op == faulty.Get && seen[op] == 1:
			return faulty.FailBefore
		}
		return faulty.Pass
	})
	if err := probe.Quick(t.Context(), s, "hub"); err != nil {
		t.Error(err)
	}
	if seen[faulty.Get] < 2 {
		t.Errorf("it has asked %d times whose write it was, want again after the lost answer", seen[faulty.Get])
	}
	wantEmpty(t, inner)
}

// TestQuickEndures: each request of a host's start may fail, and the host starts.
func TestQuickEndures(t *testing.T) {
	for lost := range 5 {
		inner, n := memory.New(), 0
		s := faulty.New(inner, faulty.Only(func(faulty.Op, string) faulty.Fault {
			if n++; n-1 == lost {
				return faulty.FailBefore
			}
			return faulty.Pass
		}, faulty.Create, faulty.Replace, faulty.Delete))
		if err := probe.Quick(t.Context(), s, "hub"); err != nil {
			t.Errorf("write %d fails once: %v", lost, err)
		}
		if n < 6 {
			t.Errorf("write %d fails once: %d writes, want it repeated", lost, n)
		}
		wantEmpty(t, inner)
	}
}

// broken is a store that breaks one promise.
type broken struct {
	*memory.Store
	name    string
	create  func(ctx context.Context, b *broken, key string, body []byte) (storage.Tag, error)
	replace func(ctx context.Context, b *broken, key string, old storage.Tag, body []byte) (storage.Tag, error)

	mu   sync.Mutex
	seen map[string]int
}

func (b *broken) String() string { return "bucket x at http://" + b.name }

func (b *broken) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if b.create == nil {
		return b.Store.Create(ctx, key, body)
	}
	return b.create(ctx, b, key, body)
}

func (b *broken) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if b.replace == nil {
		return b.Store.Replace(ctx, key, old, body)
	}
	return b.replace(ctx, b, key, old, body)
}

// racy lets the second writer of a race overwrite what the first one wrote, as if it had
// looked before: one after the other, since without the lock the second could be the first.
func (b *broken) racy(ctx context.Context, key string, body []byte, write func() (storage.Tag, error)) (storage.Tag, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen = make(map[string]int)
	}
	if b.seen[key]++; b.seen[key] == 2 && strings.Contains(key, "race") {
		return overwrite(ctx, b.Store, key, body)
	}
	return write()
}

func overwrite(ctx context.Context, s *memory.Store, key string, body []byte) (storage.Tag, error) {
	if err := s.Delete(ctx, key); err != nil {
		return "", err
	}
	return s.Create(ctx, key, body)
}

func ignoreCreate(ctx context.Context, b *broken, key string, body []byte) (storage.Tag, error) {
	return overwrite(ctx, b.Store, key, body)
}

func ignoreReplace(ctx context.Context, b *broken, key string, _ storage.Tag, body []byte) (storage.Tag, error) {
	return overwrite(ctx, b.Store, key, body)
}

func TestUnfitStores(t *testing.T) {
	for _, tt := range []struct {
		broken *broken
		quick  bool // Quick sees it too
		want   string
	}{
		{&broken{name: "ignores-all", create: ignoreCreate, replace: ignoreReplace}, true, "ignores the condition of a create (If-None-Match: *)"},
		{&broken{name: "ignores-if-match", replace: ignoreReplace}, true, "ignores the condition of a replace (If-Match)"},
		{&broken{name: "ignores-if-match-on-missing", replace: func(ctx context.Context, b *broken, key string, old storage.Tag, body []byte) (storage.Tag, error) {
			if _, _, err := b.Get(ctx, key); errors.Is(err, storage.ErrNotFound) {
				return b.Store.Create(ctx, key, body)
			}
			return b.Store.Replace(ctx, key, old, body)
		}}, false, "creates an object that a replace"},
		{&broken{name: "refuses-good-tags", replace: func(context.Context, *broken, string, storage.Tag, []byte) (storage.Tag, error) {
			return "", storage.ErrConflict
		}}, true, "refuses a replace that names the current version"},
		{&broken{name: "racy-create", create: func(ctx context.Context, b *broken, key string, body []byte) (storage.Tag, error) {
			return b.racy(ctx, key, body, func() (storage.Tag, error) { return b.Store.Create(ctx, key, body) })
		}}, false, "let 2 of 32 racing writers win a create"},
		{&broken{name: "racy-replace", replace: func(ctx context.Context, b *broken, key string, old storage.Tag, body []byte) (storage.Tag, error) {
			return b.racy(ctx, key, body, func() (storage.Tag, error) { return b.Store.Replace(ctx, key, old, body) })
		}}, false, "let 2 of 32 racing writers win a replace"},
		{&broken{name: "nobody-wins", create: func(ctx context.Context, b *broken, key string, body []byte) (storage.Tag, error) {
			tag, err := b.Store.Create(ctx, key, body)
			if strings.Contains(key, "race") {
				return "", storage.ErrConflict
			}
			return tag, err
		}}, false, "let none of 32"},
	} {
		t.Run(tt.broken.name, func(t *testing.T) {
			for name, run := range probes {
				tt.broken.Store = memory.New()
				tt.broken.seen = nil
				err := run(t.Context(), tt.broken, "hub")
				if name == "quick" && !tt.quick {
					if err != nil {
						t.Errorf("quick: %v", err)
					}
					continue
				}
				if !errors.Is(err, probe.ErrUnfit) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.broken.String()) {
					t.Errorf("%s: got %v, want ErrUnfit with %q and the store's name", name, err, tt.want)
				}
				wantEmpty(t, tt.broken.Store)
			}
		})
	}
}

func TestStoreThatIsDownIsNotUnfit(t *testing.T) {
	s := faulty.New(memory.New(), nil)
	s.SetOutage(true)
	for name, run := range probes {
		err := run(t.Context(), s, "hub")
		if err == nil || errors.Is(err, probe.ErrUnfit) || !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("%s: got %v, want the store's own error", name, err)
		}
	}
}
