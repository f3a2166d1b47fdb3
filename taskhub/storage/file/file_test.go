package file_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func open(t testing.TB, dir string) *file.Store {
	t.Helper()
	s, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, t.TempDir()) })
}

// notUnderRace leaves out one more run of the suite under the race detector, for which the tests are
// short: it runs on several handles there, which have the most to race. An ordinary run has all.
func notUnderRace(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: of this suite the run on several handles is enough")
	}
}

func TestStoreWithoutUnnamedFiles(t *testing.T) {
	notUnderRace(t)
	storagetest.Run(t, func(t *testing.T) storage.Store {
		s := open(t, t.TempDir())
		s.RefuseUnnamed()
		return s
	})
}

// TestSeveralHandles spreads requests over three stores on one directory, as
// processes would: they share nothing in memory.
func TestSeveralHandles(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		dir := t.TempDir()
		s := &spread{stores: []storage.Store{open(t, dir), open(t, dir), open(t, dir)}}
		s.stores[1].(*file.Store).RefuseUnnamed()
		return s
	})
}

func TestUnnamedFilesAreUsed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("O_TMPFILE is a Linux feature")
	}
	s := open(t, t.TempDir())
	if _, err := s.Create(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	if !s.UsesUnnamed() {
		t.Skip("the file system of the temporary directory refuses O_TMPFILE")
	}
	// Nothing that could be left over was made.
	if names := temps(t, s); len(names) != 0 {
		t.Errorf("left in ~tmp: %q", names)
	}
}

func TestOpenSweepsOldLeftovers(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	old, young := filepath.Join(dir, "~tmp", "1-1"), filepath.Join(dir, "~tmp", "1-2")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	longAgo := time.Now().Add(-61 * time.Minute)
	if err := os.Chtimes(old, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if got := temps(t, s); !slices.Equal(got, []string{"1-2"}) {
		t.Errorf("left in ~tmp: %q, want only the young one", got)
	}
	for e, err := range s.List(t.Context(), "", "") {
		t.Errorf("our own files show in a listing: %v, %v", e, err)
	}
}

func TestFailedWritesLeaveNothing(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		s := open(t, t.TempDir())
		if !unnamed {
			s.RefuseUnnamed()
		}
		tag, err := s.Create(t.Context(), "d/a", []byte("A"))
		if err != nil {
			t.Fatal(err)
		}
		s.Create(t.Context(), "d/a", []byte("B"))
		s.Replace(t.Context(), "d/a", "stale", []byte("B"))
		s.Replace(t.Context(), "d/a", tag, []byte("C"))
		if names := temps(t, s); len(names) != 0 {
			t.Errorf("unnamed files %v: left in ~tmp: %q", unnamed, names)
		}
	}
}

func TestKeyThatIsFolderOfAnotherIsRefused(t *testing.T) {
	ctx, s := t.Context(), open(t, t.TempDir())
	for _, key := range []string{"a/b/c", "d"} {
		if _, err := s.Create(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "a/b", "d/e", "d/e/f"} {
		if _, err := s.Create(ctx, key, nil); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("Create(%q) = %v, want ErrInvalidKey", key, err)
		}
	}
}

func TestDeleteKeepsFolders(t *testing.T) {
	ctx, s := t.Context(), open(t, t.TempDir())
	if _, err := s.Create(ctx, "a/b", nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/b", "a"} {
		if err := s.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	// The store holds the folder open: a removed one would swallow this object.
	if _, err := s.Create(ctx, "a/c", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "a/c"); err != nil {
		t.Error(err)
	}
}

func TestFolderRemovedByHandIsMadeAgain(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		dir := t.TempDir()
		s := open(t, dir)
		if !unnamed {
			s.RefuseUnnamed()
		}
		if _, err := s.Create(t.Context(), "hub/p/1", nil); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "hub")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), "hub/p/1", nil); err != nil {
			t.Fatalf("unnamed files %v: %v", unnamed, err)
		}
		if _, _, err := s.Get(t.Context(), "hub/p/1"); err != nil {
			t.Errorf("unnamed files %v: %v", unnamed, err)
		}
	}
}

func TestOpenDirectoriesAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range file.MaxOpenDirs / 2 {
				if _, err := s.Create(t.Context(), fmt.Sprintf("d%d/%d/x", w, i), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := s.OpenDirs(); n > file.MaxOpenDirs {
		t.Errorf("%d directories are open, want at most %d", n, file.MaxOpenDirs)
	}
}

func TestWaitForALockEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	tag, err := s.Create(t.Context(), "a", []byte("A"))
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := other.Lock(t.Context(), "a") // a process that was stopped while replacing
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Replace(ctx, "a", tag, []byte("B")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Replace beside a held lock: %v, want the deadline", err)
	}
	unlock()
	if _, err := s.Replace(t.Context(), "a", tag, []byte("B")); err != nil {
		t.Errorf("Replace after the lock was given back: %v", err)
	}
}

func TestErrorsNameThePath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "plain")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open of a plain file: %v, want an error with %s", err, path)
	}
	if os.Getuid() == 0 {
		return // nothing is denied to root
	}
	s := open(t, filepath.Join(dir, "s"))
	if err := os.Chmod(filepath.Join(dir, "s"), 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "a", nil); !errors.Is(err, storage.ErrDenied) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Create in a read-only directory: %v, want ErrDenied with the path", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		err    error
		denied bool
	}{
		{syscall.EACCES, true}, {syscall.EPERM, true}, {syscall.EROFS, true},
		{syscall.ENOSPC, false}, {syscall.EIO, false}, {syscall.EDQUOT, false},
	} {
		err := file.Verdict(&fs.PathError{Op: "write", Path: "/some/path", Err: tt.err})
		if errors.Is(err, storage.ErrDenied) != tt.denied || !errors.Is(err, tt.err) || !strings.Contains(err.Error(), "/some/path") {
			t.Errorf("%v became %v; want denied %v, the cause and the path", tt.err, err, tt.denied)
		}
	}
}

// temps lists the store's temporary files.
func temps(t *testing.T, s *file.Store) []string { return files(t, s, "~tmp") }

// files lists the names in a folder.
func files(t *testing.T, s *file.Store, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Root(), folder))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// keys lists the whole store.
func keys(t *testing.T, s *file.Store) []string {
	t.Helper()
	var keys []string
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}
