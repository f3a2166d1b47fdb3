package file_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestStoreOnUnknownFileSystem(t *testing.T) {
	notUnderRace(t)
	storagetest.Run(t, func(t *testing.T) storage.Store {
		s := open(t, t.TempDir())
		s.KnowNothing()
		return s
	})
}

func TestMarkGoesWithTheSync(t *testing.T) {
	s := open(t, t.TempDir())
	if !s.OneSync() {
		t.Skipf("not on %s", file.FileSystem(t, s.Root()))
	}
	tag, err := s.Create(t.Context(), "d/a", []byte("A"))
	if err != nil {
		t.Fatal(err)
	}
	if s.HasMark(t, "d/a") {
		t.Error("an acknowledged object has a mark")
	}
	if _, err := s.Replace(t.Context(), "d/a", tag, []byte("B")); err != nil {
		t.Fatal(err)
	}
	if s.HasMark(t, "d/a") {
		t.Error("a replaced object has a mark")
	}
}

// TestUnsyncedIsSettled: what a writer left behind before the end of its sync is an
// object, and durable, for whoever meets it.
func TestUnsyncedIsSettled(t *testing.T) {
	body := []byte("whole")
	for name, meet := range map[string]func(context.Context, *file.Store) error{
		"Get": func(ctx context.Context, s *file.Store) error {
			got, _, err := s.Get(ctx, "d/a")
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("got " + string(got))
			}
			return err
		},
		"Create": func(ctx context.Context, s *file.Store) error {
			if _, err := s.Create(ctx, "d/a", body); !errors.Is(err, storage.ErrConflict) {
				return err
			}
			return nil
		},
		"Replace": func(ctx context.Context, s *file.Store) error {
			if _, err := s.Replace(ctx, "d/a", "stale", nil); !errors.Is(err, storage.ErrConflict) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			s.LinkUnsynced(t, "d/a", body, body)
			if !s.HasMark(t, "d/a") {
				t.Fatal("it has no mark to begin with")
			}
			if got := keys(t, s); !slices.Equal(got, []string{"d/a"}) {
				t.Errorf("listed %q", got)
			}
			if err := meet(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if s.HasMark(t, "d/a") {
				t.Error("it still has its mark")
			}
			if got, _, err := s.Get(t.Context(), "d/a"); err != nil || !bytes.Equal(got, body) {
				t.Errorf("then: %q, %v", got, err)
			}
		})
	}
}

// TestTornIsAbsent: a file that does not match its mark is not there for any verb, and
// its key is free.
func TestTornIsAbsent(t *testing.T) {
	body := []byte(strings.Repeat("whole", 1000))
	for name, written := range map[string][]byte{
		"empty": nil, "short": body[:4096], "zeros": make([]byte, len(body)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), open(t, t.TempDir())
			if _, err := s.Create(ctx, "d/whole", body); err != nil {
				t.Fatal(err)
			}
			plain := filepath.Join(s.Root(), "d", "plain") // without a mark: as before
			if err := os.WriteFile(plain, written, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"d/get", "d/create", "d/replace", "d/delete", "d/list"} {
				s.LinkUnsynced(t, key, body, written)
			}
			if _, _, err := s.Get(ctx, "d/get"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("Get: %v, want ErrNotFound", err)
			}
			if _, err := s.Create(ctx, "d/create", []byte("new")); err != nil {
				t.Errorf("Create: %v", err)
			}
			if got, _, err := s.Get(ctx, "d/create"); string(got) != "new" {
				t.Errorf("Get after Create: %q, %v", got, err)
			}
			if _, err := s.Replace(ctx, "d/replace", "stale", nil); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("Replace: %v, want ErrConflict", err)
			}
			if err := s.Delete(ctx, "d/delete"); err != nil {
				t.Errorf("Delete: %v", err)
			}
			if got := keys(t, s); !slices.Equal(got, []string{"d/create", "d/plain", "d/whole"}) {
				t.Errorf("listed %q", got)
			}
			left, err := os.ReadDir(filepath.Join(s.Root(), "d"))
			if err != nil || len(left) != 3 {
				t.Errorf("left on disk: %v, %v", left, err)
			}
		})
	}
}

// TestOneCreatorTakesATornPlace: racing creators see the same torn file, and none may
// remove what another has put in its place.
func TestOneCreatorTakesATornPlace(t *testing.T) {
	dir := t.TempDir()
	stores := []*file.Store{open(t, dir), open(t, dir), open(t, dir), open(t, dir)}
	for range 20 {
		stores[0].LinkUnsynced(t, "d/a", []byte("whole"), nil)
		var won atomic.Int32
		var wg sync.WaitGroup
		for _, s := range stores {
			wg.Go(func() {
				_, err := s.Create(t.Context(), "d/a", []byte("new"))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, storage.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, _, err := stores[0].Get(t.Context(), "d/a"); string(got) != "new" || won.Load() != 1 {
			t.Fatalf("%d creators won; then %q, %v", won.Load(), got, err)
		}
		if err := stores[0].Delete(t.Context(), "d/a"); err != nil {
			t.Fatal(err)
		}
	}
}
