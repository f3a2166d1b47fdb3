package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
)

// mount puts a file system of 256 KiB in memory at a new path, which takes root.
func mount(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		dir := mount(t)
		s := open(t, filepath.Join(dir, "s"))
		if !unnamed {
			s.RefuseUnnamed()
		}
		tag, err := s.Create(t.Context(), "d/small", []byte("A"))
		if err != nil {
			t.Fatal(err)
		}
		big := make([]byte, 1<<20)
		_, createErr := s.Create(t.Context(), "d/big", big)
		_, replaceErr := s.Replace(t.Context(), "d/small", tag, big)
		for _, err := range []error{createErr, replaceErr} {
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) || errors.Is(err, storage.ErrDenied) {
				t.Errorf("on a full disk: %v, want ENOSPC with the path", err)
			}
		}
		if _, _, err := s.Get(t.Context(), "d/big"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("an object that did not fit: %v, want ErrNotFound", err)
		}
		if body, got, err := s.Get(t.Context(), "d/small"); string(body) != "A" || got != tag {
			t.Errorf("the object before a failed Replace: %q, %v", body, err)
		}
		// What did not fit gave its space back.
		if _, err := s.Replace(t.Context(), "d/small", tag, make([]byte, 100<<10)); err != nil {
			t.Errorf("after the failures: %v", err)
		}
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := mount(t)
	s := open(t, dir)
	tag, err := s.Create(t.Context(), "d/a", []byte("A"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close() // a disk with locks open for writing stays writable
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot remount: %v", err)
	}
	_, createErr := s.Create(t.Context(), "d/b", nil)
	_, replaceErr := s.Replace(t.Context(), "d/a", tag, nil)
	_, openErr := file.Open(filepath.Join(dir, "new"))
	for _, err := range []error{createErr, replaceErr, s.Delete(t.Context(), "d/a"), openErr} {
		if !errors.Is(err, storage.ErrDenied) || !strings.Contains(err.Error(), dir) {
			t.Errorf("on a read-only disk: %v, want ErrDenied with the path", err)
		}
	}
	if body, _, err := s.Get(t.Context(), "d/a"); string(body) != "A" {
		t.Errorf("reading is still possible: %q, %v", body, err)
	}
}
