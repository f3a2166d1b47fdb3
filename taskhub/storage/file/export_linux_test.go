package file

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// LinkUnsynced leaves key as a writer does that dies between its link and the end of its
// sync, with its mark and with written, the part of body that reached the disk.
func (s *Store) LinkUnsynced(t testing.TB, key string, body, written []byte) {
	t.Helper()
	path := s.path(key)
	dir, err := s.openDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer s.dirs.release(dir)
	fd, err := openUnnamed(dir.File)
	if err != nil {
		t.Skipf("no unnamed files here: %v", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := setMark(fd, sumOf(body).mark()); err != nil {
		t.Skipf("no marks here: %v", err)
	}
	if _, err := f.Write(written); err != nil {
		t.Fatal(err)
	}
	if err := linkFD(fd, int(dir.Fd()), filepath.Base(path)); err != nil {
		t.Fatal(err)
	}
}

// HasMark reports whether the file of key has a mark.
func (s *Store) HasMark(t testing.TB, key string) bool {
	t.Helper()
	marked, err := hasMark(s.path(key))
	if err != nil {
		t.Fatal(err)
	}
	return marked
}

// OneSync reports whether s makes objects durable by one sync.
func (s *Store) OneSync() bool { return s.marks }

// RefuseMarks makes s act as where a mark has no room in the inode.
func (s *Store) RefuseMarks() { s.marks = false }

// KnowNothing makes s act as on a file system of which nothing is known.
func (s *Store) KnowNothing() { s.marks, s.syncsName = false, false }

// FileSystem is the kind of file system that path lies on.
func FileSystem(t testing.TB, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fileSystem(st.Dev)
}
