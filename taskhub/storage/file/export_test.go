package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// RefuseUnnamed makes s act as on a file system without O_TMPFILE.
func (s *Store) RefuseUnnamed() { s.noUnnamed.Store(true) }

// UsesUnnamed reports whether s still believes in O_TMPFILE.
func (s *Store) UsesUnnamed() bool { return !s.noUnnamed.Load() }

// OpenDirs is the number of directories kept open.
func (s *Store) OpenDirs() int {
	s.dirs.mu.Lock()
	defer s.dirs.mu.Unlock()
	return len(s.dirs.open)
}

// MaxOpenDirs is the bound of OpenDirs.
const MaxOpenDirs = maxOpenDirs

// Verdict is how errors of the operating system are classified.
var Verdict = verdict

// Root is the directory of s.
func (s *Store) Root() string { return s.root }

// Lock takes the lock under which key is replaced.
func (s *Store) Lock(ctx context.Context, key string) (func(), error) { return s.lock(ctx, key) }

// WritePlain leaves key as versions without journals made it.
func (s *Store) WritePlain(t testing.TB, key string, body []byte) {
	t.Helper()
	path := s.path(key)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), dirPerm), os.WriteFile(path, body, filePerm)); err != nil {
		t.Fatal(err)
	}
}
