//go:build linux

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestFailedSync: nothing is acknowledged before the disk has it, and what may be missing
// from the disk is written again.
func TestFailedSync(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	broken := true
	j.sync = func(*os.File) error {
		if broken {
			return syscall.EIO
		}
		return nil
	}
	err := j.Create(2, []byte("two"), digest([]byte("two")), ready)
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("Create: %v, want EIO", err)
	}
	if err := j.Create(2, []byte("two"), digest([]byte("two")), ready); !errors.Is(err, syscall.EIO) {
		t.Errorf("Create again: %v, want EIO", err)
	}
	if _, err := j.Get(2); !errors.Is(err, syscall.EIO) {
		t.Errorf("Get: %v, want EIO", err)
	}
	s := j.lastSegment()
	if !s.suspect {
		t.Error("what was not synced is not suspected to be missing")
	}
	broken = false
	if err := j.Create(2, []byte("two"), digest([]byte("two")), ready); !errors.Is(err, ErrConflict) {
		t.Errorf("Create when the disk is back: %v, want ErrConflict", err)
	}
	if s.suspect || s.synced != s.end {
		t.Errorf("then: suspect %v, durable up to %d of %d", s.suspect, s.synced, s.end)
	}
}

// TestLostPages: the disk failed, and what was written is not in memory any more either.
func TestLostPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	broken := true
	j.sync = func(*os.File) error {
		if !broken {
			return nil
		}
		corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small:]) })
		return syscall.EIO
	}
	two := []byte("two")
	if err := j.Create(2, two, digest(two), ready); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Create: %v, want EIO", err)
	}
	broken = false
	if err := j.Create(2, two, digest(two), ready); !errors.Is(err, errLost) {
		t.Errorf("Create again: %v, want errLost", err)
	}
	mustCreate(t, j, 2, "two")
	for _, j := range []*Journal{j, newJournal(t, dir)} {
		if b, err := j.Get(2); err != nil || string(b) != "two" {
			t.Errorf("Get: %q, %v", b, err)
		}
	}
}

// TestSyncBeforeASuccessorFails: the marks of a complete segment are written again with its data.
func TestSyncBeforeASuccessorFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	j.full = firstFrame + 1
	fail := 2 // of the seal, and of the marks
	j.sync = func(*os.File) error {
		if fail--; fail == 0 {
			return syscall.EIO
		}
		return nil
	}
	if err := j.Create(2, nil, digestOfNothing, ready); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Create: %v, want EIO", err)
	}
	corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[markOffset:firstFrame]) }) // dropped
	mustCreate(t, j, 2, "two")
	page, err := os.ReadFile(filepath.Join(dir, "~"+Name(1)))
	if err != nil || told(page) != int64(len(page)) {
		t.Errorf("told %d of %d bytes, %v", told(page), len(page), err)
	}
}

// failOnce lets the next sync of a journal fail.
func failOnce(j *Journal) {
	failed := false
	j.sync = func(*os.File) error {
		if !failed {
			failed = true
			return syscall.EIO
		}
		return nil
	}
}

func wantEIO(t *testing.T, j *Journal, n uint64) {
	t.Helper()
	if err := j.Create(n, []byte("ppp"), digest([]byte("ppp")), ready); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Create %d: %v, want EIO", n, err)
	}
}

// TestFailureIsRemembered: also when others have said meanwhile that what was waited for is
// durable.
func TestFailureIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p, q := newJournal(t, dir), newJournal(t, dir)
	mustCreate(t, q, 9, "nin")
	mustCreate(t, p, 8, "eig") // so that it does not write again
	syncs, done := 0, make(chan error, 1)
	p.sync = func(*os.File) error {
		if syncs++; syncs > 1 {
			return nil
		}
		mustCreate(t, q, 3, "qqq")
		mustCreate(t, q, 4, "qqq") // says that all before is durable
		go func() { done <- p.Create(2, []byte("two"), digest([]byte("two")), ready) }()
		for there := false; !there; {
			p.mu.Lock()
			_, there = p.index[2]
			p.mu.Unlock()
		}
		corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[len(b)-small:]) }) // dropped
		return syscall.EIO
	}
	if err := p.Create(1, []byte("one"), digest([]byte("one")), ready); err != nil {
		t.Errorf("Create of what others saw to: %v", err)
	}
	if err := <-done; err == nil {
		_, err = newJournal(t, dir).Get(2)
		t.Errorf("Create(2) acknowledged after a failed sync, then Get: %v", err)
	}
}

// TestDroppedFrames: what was lost by a failed sync, and what others have declared void since, does
// not live on in the journal that wrote it.
func TestDroppedFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		torn int // bytes of a write that was torn off before
		lose func(t *testing.T, p *Journal)
	}{
		"a creation":   {0, func(t *testing.T, p *Journal) { wantEIO(t, p, 2) }},
		"a deletion":   {0, func(t *testing.T, p *Journal) { mustDelete(t, p, 1); wantEIO(t, p, 9) }},
		"after a tear": {50, func(t *testing.T, p *Journal) { wantEIO(t, p, 9) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			p := newJournal(t, dir)
			mustCreate(t, p, 1, "one")
			appendRaw(t, lastFile(t, dir), frameOf(t, dir, 2, []byte("ttt"), firstFrame)[:tt.torn])
			failOnce(p)
			tt.lose(t, p)
			corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small+tt.torn:]) })
			q := newJournal(t, dir)
			for n := uint64(2); n < 5; n++ {
				mustCreate(t, q, n, "qqq")
			}
			if _, err := p.List(0); err != nil && !errors.Is(err, errLost) {
				t.Errorf("List: %v", err)
			}
			for _, j := range []*Journal{p, q, newJournal(t, dir)} {
				if got := listed(t, j); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
					t.Errorf("listed %v", got)
				}
				if b, err := j.Get(2); err != nil || string(b) != "qqq" {
					t.Errorf("Get: %q, %v", b, err)
				}
			}
		})
	}
}

// TestFailureBeforeTheOpening: a sync may have failed before a segment was opened, so that what is
// read then may not be on disk.
func TestFailureBeforeTheOpening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	mustCreate(t, newJournal(t, dir), 1, "one")
	appendRaw(t, lastFile(t, dir), frameOf(t, dir, 2, []byte("two"), firstFrame))
	j := newJournal(t, dir)
	listed(t, j)
	corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small:]) }) // dropped
	if b, err := j.Get(2); !errors.Is(err, errLost) {
		t.Errorf("Get: %q, %v, want errLost", b, err)
	}
	if got := listed(t, j); !slices.Equal(got, []uint64{1}) {
		t.Errorf("listed %v", got)
	}
}
