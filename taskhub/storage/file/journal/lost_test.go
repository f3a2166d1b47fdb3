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

// TestMarkThatCameLater: one who opened the segment before a mark was written heeds it.
func TestMarkThatCameLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p, q := newJournal(t, dir), newJournal(t, dir)
	mustCreate(t, p, 1, "one")
	listed(t, q)
	mustCreate(t, q, 2, "two") // acknowledged
	q.Close()                  // writes its mark
	corrupt(t, lastFile(t, dir), func(b []byte) { b[firstFrame+small+20] ^= 1 })
	for n := uint64(3); n < 7; n++ {
		if err := p.Create(n, []byte("abc"), digest([]byte("abc")), ready); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
	}
	p.Close()
	_, err := newJournal(t, dir).Get(2)
	t.Errorf("fresh Get(2): %v", err)
}

// TestDamagedSeal: one who has not read a seal before it was damaged sees that there is a next
// segment.
func TestDamagedSeal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p, q := newJournal(t, dir), newJournal(t, dir)
	mustCreate(t, q, 1, "one")
	listed(t, p)
	q.full = firstFrame + 1
	mustReplace(t, q, 1, "new") // in the second segment
	corrupt(t, filepath.Join(dir, "~"+Name(1)), func(b []byte) { b[firstFrame+small+20] ^= 1 })
	b, err := p.Get(1)
	if err == nil {
		t.Errorf("p.Get(1): %q, %v", b, err)
	}
	if err = p.Create(2, []byte("pen"), digest([]byte("pen")), ready); err == nil {
		_, err = q.Get(2)
		t.Errorf("p.Create(2) acknowledged; q.Get(2): %v", err)
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

// TestDroppedFrame: frames that were lost by a failed sync, and that others have declared void
// since, do not live on in the journal that wrote them.
func TestDroppedFrame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p := newJournal(t, dir)
	mustCreate(t, p, 9, "nin")
	failOnce(p)
	wantEIO(t, p, 1)
	corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small:]) })
	q := newJournal(t, dir)
	mustCreate(t, q, 1, "qqq")
	mustCreate(t, q, 2, "qqq")
	mustCreate(t, q, 3, "qqq")
	b, err := p.Get(1)
	if err == nil && string(b) != "qqq" {
		t.Errorf("p.Get(1): %q, %v", b, err)
	}
}

func TestDroppedDeletion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p := newJournal(t, dir)
	mustCreate(t, p, 1, "old")
	failOnce(p)
	mustDelete(t, p, 1)
	wantEIO(t, p, 9)
	corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small:]) })
	q := newJournal(t, dir)
	mustCreate(t, q, 2, "qqq")
	mustCreate(t, q, 3, "qqq")
	mustCreate(t, q, 4, "qqq")
	if err := p.Create(1, []byte("new"), digest([]byte("new")), ready); err == nil {
		p.Close()
		b, err := newJournal(t, dir).Get(1)
		if string(b) != "new" {
			t.Errorf("acknowledged Create(1, new); then %q, %v", b, err)
		}
	}
}

func TestDroppedAfterATear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	p := newJournal(t, dir)
	mustCreate(t, p, 1, "old")
	appendRaw(t, lastFile(t, dir), frameOf(t, dir, 2, []byte("ttt"), firstFrame)[:50])
	failOnce(p)
	wantEIO(t, p, 9)
	corrupt(t, lastFile(t, dir), func(b []byte) { clear(b[firstFrame+small+50:]) })
	q := newJournal(t, dir)
	mustCreate(t, q, 2, "qqq")
	mustCreate(t, q, 3, "qqq")
	mustCreate(t, q, 4, "qqq")
	if _, err := p.List(0); err != nil && !errors.Is(err, errLost) {
		t.Errorf("List: %v", err)
	}
	for _, j := range []*Journal{p, newJournal(t, dir)} {
		if got := listed(t, j); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
			t.Errorf("listed %v", got)
		}
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
