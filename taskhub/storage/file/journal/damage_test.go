//go:build linux

package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corrupt changes a file in its place.
func corrupt(t testing.TB, path string, change func([]byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantDamaged checks that nothing is answered from a folder, nothing added to it, and that the
// error names what is damaged.
func wantDamaged(t *testing.T, dir, named string) {
	t.Helper()
	path := lastFile(t, dir)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal(t, dir)
	_, get := j.Get(1)
	_, list := j.List(0)
	for what, err := range map[string]error{
		"Get": get, "List": list,
		"Create":  j.Create(2, nil, digestOfNothing, ready),
		"Replace": j.Replace(1, func([]byte) bool { return true }, nil, digestOfNothing, ready),
		"Delete":  j.Delete(1, ready),
	} {
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v, want ErrDamaged about %s", what, err, named)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before[firstFrame:], after[firstFrame:]) {
		t.Errorf("the bytes were changed (%v)", err)
	}
}

func mustReplace(t testing.TB, j *Journal, n uint64, body string) {
	t.Helper()
	if err := j.Replace(n, func([]byte) bool { return true }, []byte(body), digest([]byte(body)), ready); err != nil {
		t.Fatal(err)
	}
}

func mustDelete(t testing.TB, j *Journal, n uint64) {
	t.Helper()
	if err := j.Delete(n, ready); err != nil {
		t.Fatal(err)
	}
}

// small is the size of a frame whose body has three bytes.
const small = headerBytes + 3

// scenarios write to a folder what must be known to be durable then, to the last byte.
var scenarios = map[string]func(t *testing.T, dir string){
	"creates": func(t *testing.T, dir string) {
		j := newJournal(t, dir)
		for n := range uint64(6) {
			mustCreate(t, j, 1000+n, "abc")
		}
		j.Close()
	},
	"versions": func(t *testing.T, dir string) {
		j := newJournal(t, dir)
		mustCreate(t, j, 1, "v1-")
		mustReplace(t, j, 1, "v2-")
		mustDelete(t, j, 1)
		mustCreate(t, j, 1, "v3-")
		mustCreate(t, j, 2, "two")
		j.Close()
	},
	"segments": func(t *testing.T, dir string) {
		j := newJournal(t, dir)
		j.full = firstFrame + 2*small
		for n := range uint64(6) {
			mustCreate(t, j, n, "abc")
		}
		j.Close()
	},
	"a version whose predecessor is gone": func(t *testing.T, dir string) {
		j := newJournal(t, dir)
		mustCreate(t, j, 5, "v1-")
		j.full = firstFrame + 1
		mustReplace(t, j, 5, "v2-")
		j.full = 1 << 20
		mustCreate(t, j, 7, "two")
		mustDelete(t, j, 7)
		mustCreate(t, j, 8, "two")
		j.Close()
	},
	"races": func(t *testing.T, dir string) {
		a, q := newJournal(t, dir), newJournal(t, dir)
		mustCreate(t, a, 1, "v1-")
		beaten := func(do func(ready func() error) error, by func()) {
			calls := 0
			if err := do(func() error {
				if calls++; calls == 2 { // right before its write
					by()
				}
				return nil
			}); !errors.Is(err, ErrConflict) {
				t.Fatal(err)
			}
		}
		lost := []byte("los")
		beaten(func(ready func() error) error {
			return q.Replace(1, func([]byte) bool { return true }, lost, digest(lost), ready)
		}, func() { mustReplace(t, a, 1, "win") })
		beaten(func(ready func() error) error { return q.Create(2, lost, digest(lost), ready) },
			func() { mustCreate(t, a, 2, "win") })
		mustCreate(t, a, 3, "end")
		a.Close()
		q.Close()
	},
	"deleted by one who knows of no sync": func(t *testing.T, dir string) {
		a, q := newJournal(t, dir), newJournal(t, dir)
		mustCreate(t, a, 1, "one")
		listed(t, q)
		mustCreate(t, a, 2, "two")
		mustDelete(t, q, 2)
		mustCreate(t, a, 3, "thr")
		a.Close()
		q.Close()
	},
	"sealed by one who knows of no sync": func(t *testing.T, dir string) {
		a, b := newJournal(t, dir), newJournal(t, dir)
		mustCreate(t, a, 1, "one")
		listed(t, b)
		mustCreate(t, a, 2, "two")
		b.full = firstFrame + 1
		mustCreate(t, b, 3, "thr")
		a.Close()
		b.Close()
	},
	"told by one who knows more": func(t *testing.T, dir string) {
		a, r := newJournal(t, dir), newJournal(t, dir)
		mustCreate(t, a, 1, "one")
		listed(t, r)
		mustCreate(t, a, 2, "two")
		mustCreate(t, a, 3, "thr")
		listed(t, r)
		a.Close()
		r.Close()
	},
}

// TestOneDamagedPlace: one flipped bit anywhere in what was acknowledged, or a block of zeros, is
// never taken for absence, nor an older version or a loser for what was there.
func TestOneDamagedPlace(t *testing.T) {
	for name, write := range scenarios {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			write(t, dir)
			paths, err := filepath.Glob(filepath.Join(dir, "~*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				good, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				back := func(b []byte) { copy(b, good) }
				for at := firstFrame; at < len(good); at += 1 + rand.IntN(12) {
					corrupt(t, path, func(b []byte) { b[at] ^= 1 << rand.IntN(8) })
					wantDamaged(t, dir, path)
					corrupt(t, path, back)
					size := 1 + rand.IntN(300)
					corrupt(t, path, func(b []byte) { clear(b[at:min(at+size, len(b))]) })
					if b, err := os.ReadFile(path); err == nil && !bytes.Equal(b, good) {
						wantDamaged(t, dir, path)
					}
					corrupt(t, path, back)
					if t.Failed() {
						t.Fatalf("byte %d of %s, and %d bytes from there on", at, path, size)
					}
				}
			}
			listed(t, newJournal(t, dir))
		})
	}
}

// TestDamageBesideATear: what a crash left of a write is void, and the frame after it is not.
func TestDamageBesideATear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	torn := frameOf(t, dir, 7, bytes.Repeat([]byte("t"), 1000), firstFrame)
	appendRaw(t, lastFile(t, dir), torn[:110]) // claims what comes after it
	mustCreate(t, j, 2, "two")
	mustCreate(t, j, 3, "thr")
	for n := uint64(4); n < 7; n++ {
		mustCreate(t, j, n, strings.Repeat("t", 1000))
	}
	j.Close()
	listed(t, newJournal(t, dir))
	for _, at := range []int{20, headerBytes} {
		corrupt(t, lastFile(t, dir), func(b []byte) { b[firstFrame+small+110+at] ^= 1 })
		wantDamaged(t, dir, lastFile(t, dir))
		corrupt(t, lastFile(t, dir), func(b []byte) { b[firstFrame+small+110+at] ^= 1 })
	}
}

// TestSealThatMissedATear: it does not count, so that what stands between can be told from the
// tear.
func TestSealThatMissedATear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	a, z := newJournal(t, dir), newJournal(t, dir)
	mustCreate(t, a, 1, "one")
	listed(t, z)
	appendRaw(t, lastFile(t, dir), frameOf(t, dir, 2, bytes.Repeat([]byte("t"), 300), firstFrame)[:50])
	listed(t, z) // a write under way, as far as it can see
	mustCreate(t, a, 2, "two")
	z.mu.Lock()
	_, _, err := z.append(z.lastSegment(), header{kind: seal, digest: digestOfNothing}, nil)
	z.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if a.full = firstFrame + 1; z.lastSegment().sealed {
		t.Error("it counts")
	}
	mustCreate(t, a, 3, "thr")
	if filepath.Base(lastFile(t, dir)) != "~"+Name(2) {
		t.Error("the segment was not sealed after that")
	}
	for _, j := range []*Journal{a, z, newJournal(t, dir)} {
		if got := listed(t, j); len(got) != 3 {
			t.Errorf("listed %v", got)
		}
		j.Close()
	}
	path := filepath.Join(dir, "~"+Name(1))
	corrupt(t, path, func(b []byte) { b[firstFrame+small+50+headerBytes] ^= 1 })
	wantDamaged(t, dir, path)
}

// TestMarkNeverFalls: a process that was stopped before it wrote its mark takes nothing back.
func TestMarkNeverFalls(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	a, stopped := newJournal(t, dir), newJournal(t, dir)
	mustCreate(t, a, 1, "one")
	if err := stopped.Create(1, nil, digestOfNothing, ready); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	for stopped.segments[0].mark == a.segments[0].mark { // one in 224
		stopped.Close()
		listed(t, stopped)
	}
	mustCreate(t, a, 2, "two")
	mustCreate(t, a, 3, "thr")
	a.Close()
	s := stopped.lastSegment()
	if _, err := s.file.WriteAt(newMark(s.synced), s.mark); err != nil {
		t.Fatal(err)
	}
	corrupt(t, lastFile(t, dir), func(b []byte) { b[len(b)-1] ^= 1 })
	wantDamaged(t, dir, lastFile(t, dir))
}

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
