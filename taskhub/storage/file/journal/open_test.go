//go:build linux

package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// plainDir is a folder in which an older version made an object, in a file of its own.
func plainDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name(1)), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRemovedSegmentIsNotMadeAgain: a process is stopped right before it makes a segment,
// which others make, fill, and remove meanwhile.
func TestRemovedSegmentIsNotMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	q := newJournal(t, dir)
	q.full = firstFrame + 1
	stopped := false
	p := New(dir, stoppedFolder{before: func(path string) {
		if stopped || filepath.Base(path) != "~"+Name(2) {
			return
		}
		stopped = true
		for n := uint64(2); n < 6; n++ {
			mustCreate(t, q, n, "q")
		}
		for n := uint64(1); n < 5; n++ {
			if err := q.Delete(n, ready); err != nil {
				t.Fatal(err)
			}
		}
	}})
	defer p.Close()
	p.full = firstFrame + 1
	mustCreate(t, p, 1, "one")
	if err := p.Create(5, []byte("p"), digest([]byte("p")), ready); !errors.Is(err, ErrConflict) || !stopped {
		t.Errorf("Create of what another has: %v, stopped: %v", err, stopped)
	}
	mustCreate(t, p, 7, "p")
	for _, j := range []*Journal{p, q, newJournal(t, dir)} {
		if got := listed(t, j); !slices.Equal(got, []uint64{5, 7}) {
			t.Errorf("listed %v", got)
		}
		if b, err := j.Get(5); string(b) != "q" {
			t.Errorf("Get: %q, %v", b, err)
		}
	}
}

// stoppedFolder is a Folder whose process is stopped before it makes a file.
type stoppedFolder struct {
	plainFolder
	before func(path string)
}

func (f stoppedFolder) Make(path string, body []byte) error {
	f.before(path)
	return f.plainFolder.Make(path, body)
}

// TestPlainFolderStaysPlain: also when its last file is gone, and for those who look then.
func TestPlainFolderStaysPlain(t *testing.T) {
	dir := plainDir(t)
	j := newJournal(t, dir)
	if err := j.Create(2, nil, digestOfNothing, ready); !errors.Is(err, ErrPlain) {
		t.Errorf("Create: %v, want ErrPlain", err)
	}
	if err := os.Remove(filepath.Join(dir, Name(1))); err != nil {
		t.Fatal(err)
	}
	for _, j := range []*Journal{j, newJournal(t, dir)} {
		if _, err := j.Get(1); !errors.Is(err, ErrPlain) {
			t.Errorf("Get: %v, want ErrPlain", err)
		}
		if err := j.Create(2, nil, digestOfNothing, ready); !errors.Is(err, ErrPlain) {
			t.Errorf("Create: %v, want ErrPlain", err)
		}
	}
}

func TestFolderRemovedByHand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Get(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get: %v", err)
	}
	mustCreate(t, j, 1, "again")
	if b, err := newJournal(t, dir).Get(1); string(b) != "again" {
		t.Errorf("Get: %q, %v", b, err)
	}
}

// TestDamagedFirstPage: the first frame has what counts of it; without one it is named.
func TestDamagedFirstPage(t *testing.T) {
	for _, at := range []int{1, 9, 17, markOffset - 1} {
		dir := filepath.Join(t.TempDir(), "log")
		mustCreate(t, newJournal(t, dir), 1, "one")
		corrupt(t, lastFile(t, dir), func(b []byte) { b[at] ^= 1 })
		j := newJournal(t, dir)
		mustCreate(t, j, 2, "two")
		for _, j := range []*Journal{j, newJournal(t, dir)} {
			if got := listed(t, j); !slices.Equal(got, []uint64{1, 2}) {
				t.Errorf("listed %v", got)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(dir, "~"+Name(1))
	page := newFirstPage()
	page[9] ^= 1
	if err := (plainFolder{}).Make(path, page); err != nil {
		t.Fatal(err)
	}
	j := newJournal(t, dir)
	if _, err := j.Get(1); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Get: %v, want an error that names %s", err, path)
	}
	if err := j.Create(2, nil, digestOfNothing, ready); err == nil {
		t.Error("Create beside a damaged page went well")
	}
}

// TestMissingSegment: nothing is removed because of it.
func TestMissingSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	j.full = firstFrame + 1
	for n := range uint64(4) {
		mustCreate(t, j, n, "abc")
	}
	j.Close()
	path := func(n uint64) string { return filepath.Join(dir, "~"+Name(n)) }
	if err := os.Rename(path(3), path(3)+".away"); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, dir, path(3))
	if err := os.Rename(path(3)+".away", path(3)); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, newJournal(t, dir)); len(got) != 4 {
		t.Errorf("listed %v", got)
	}
}

// TestSeveralMadeAgain: by processes that had been stopped before they made segments, which
// others have filled and removed since.
func TestSeveralMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "a")
	j.full = firstFrame + 1
	mustCreate(t, j, 2, "old") // in the second
	mustDelete(t, j, 1)        // in the third; removes the first
	j.full = 1 << 20
	mustReplace(t, j, 2, "new")
	mustCreate(t, j, 3, "x")
	mustDelete(t, j, 3)
	for n := range uint64(2) {
		if err := (plainFolder{}).Make(filepath.Join(dir, "~"+Name(1+n)), newFirstPage()); err != nil {
			t.Fatal(err)
		}
	}
	for _, j := range []*Journal{j, newJournal(t, dir)} {
		if b, err := j.Get(2); err != nil || string(b) != "new" {
			t.Errorf("Get: %q, %v", b, err)
		}
	}
}

// TestLatePlainMarker: a process that saw a plain folder is stopped before it says so; the last
// object is deleted by an older version, and others begin a journal.
func TestLatePlainMarker(t *testing.T) {
	dir := plainDir(t)
	old := filepath.Join(dir, Name(1))
	q := newJournal(t, dir)
	q.full = firstFrame + 1
	p := New(dir, stoppedFolder{before: func(string) {
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
		for n := uint64(2); n < 6; n++ {
			mustCreate(t, q, n, "q")
		}
		for n := uint64(2); n < 5; n++ {
			mustDelete(t, q, n)
		}
	}})
	defer p.Close()
	for _, j := range []*Journal{p, q, newJournal(t, dir)} {
		if b, err := j.Get(5); err != nil || string(b) != "q" {
			t.Errorf("Get: %q, %v", b, err)
		}
	}
}

// fullFolder has no room for another file.
type fullFolder struct{ plainFolder }

func (fullFolder) Make(string, []byte) error { return syscall.ENOSPC }

// TestPlainFolderOnAFullDisk: one reads and deletes there.
func TestPlainFolderOnAFullDisk(t *testing.T) {
	dir := plainDir(t)
	j := New(dir, fullFolder{})
	_, get := j.Get(1)
	_, list := j.List(0)
	for what, err := range map[string]error{"Get": get, "List": list, "Delete": j.Delete(1, ready)} {
		if !errors.Is(err, ErrPlain) {
			t.Errorf("%s: %v, want ErrPlain", what, err)
		}
	}
	if err := j.Create(2, nil, digestOfNothing, ready); errors.Is(err, ErrPlain) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Create: %v, want ENOSPC", err)
	}
}

// TestMadeAgainUnderAReader: a segment is removed, and made again, while somebody reads it.
func TestMadeAgainUnderAReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	j.full = firstFrame + 1
	mustCreate(t, j, 2, "two")
	found := j.index[1]
	mustDelete(t, newJournal(t, dir), 1)
	if err := (plainFolder{}).Make(j.path(1), newFirstPage()); err != nil {
		t.Fatal(err)
	}
	if b, err := j.read(found); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %q, %v, want ErrNotExist", b, err)
	}
	if got := listed(t, j); !slices.Equal(got, []uint64{2}) {
		t.Errorf("listed %v", got)
	}
}

// TestMadeAgainBeforeItIsLoaded: while somebody waits to open the next segment.
func TestMadeAgainBeforeItIsLoaded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j, q := newJournal(t, dir), newJournal(t, dir)
	q.full = firstFrame + 1
	mustCreate(t, q, 1, "one")
	listed(t, j)
	for n := uint64(2); n < 5; n++ {
		mustCreate(t, q, n, "abc")
	}
	for n := uint64(1); n < 4; n++ {
		mustDelete(t, q, n)
	}
	if err := (plainFolder{}).Make(j.path(2), newFirstPage()); err != nil {
		t.Fatal(err)
	}
	if err := j.load(2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: %v, want ErrNotExist", err)
	}
	if got := listed(t, j); !slices.Equal(got, []uint64{4}) {
		t.Errorf("listed %v", got)
	}
}

// TestEmptiedSegment: one that has lost all its frames is not one that never had any.
func TestEmptiedSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	j.full = firstFrame + 1
	for n := range uint64(3) {
		mustCreate(t, j, n, "abc")
	}
	j.Close()
	path := filepath.Join(dir, "~"+Name(1))
	if err := os.Truncate(path, firstFrame); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, dir, path)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file: %v", err)
	}
}
