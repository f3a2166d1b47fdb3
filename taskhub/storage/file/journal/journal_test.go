//go:build linux

package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// plainFolder is a Folder without care for the disk.
type plainFolder struct{}

func (plainFolder) Make(path string, body []byte) error {
	tmp := path + fmt.Sprint(".", rand.Uint64())
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(tmp, body, 0o600))
	if link := os.Link(tmp, path); link != nil && !errors.Is(link, fs.ErrExist) {
		err = errors.Join(err, link)
	}
	return errors.Join(err, os.Remove(tmp))
}

func (plainFolder) Sync(string) error { return nil }

func newJournal(t testing.TB, dir string) *Journal {
	j := New(dir, plainFolder{})
	t.Cleanup(j.Close)
	return j
}

func digest(b []byte) Digest { s := sha256.Sum256(b); return Digest(s[:]) }

func ready() error { return nil }

func mustCreate(t testing.TB, j *Journal, n uint64, body string) {
	t.Helper()
	if err := j.Create(n, []byte(body), digest([]byte(body)), ready); err != nil {
		t.Fatalf("Create %d: %v", n, err)
	}
}

// lastFile is the newest segment of a folder.
func lastFile(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "~*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segment in %s: %v", dir, err)
	}
	return slices.Max(names)
}

// appendRaw appends bytes as another process would.
func appendRaw(t testing.TB, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// frameOf is a create frame for the last segment of dir.
func frameOf(t testing.TB, dir string, n uint64, body []byte, synced int64) []byte {
	t.Helper()
	page, err := os.ReadFile(lastFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	h := header{kind: create, nonce: [8]byte(page[8:]), number: n, synced: synced, digest: digest(body), size: int64(len(body))}
	return append(h.append(nil), body...)
}

func listed(t testing.TB, j *Journal) (numbers []uint64) {
	t.Helper()
	list, err := j.List(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		numbers = append(numbers, e.Number)
	}
	return numbers
}

// TestHandlesAgree runs random operations on three handles, which share nothing but the
// files, while processes die in the middle of writes; a map says what is right.
func TestHandlesAgree(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			dir := filepath.Join(t.TempDir(), "log")
			handle := func() *Journal {
				j := newJournal(t, dir)
				j.full = firstFrame + 1 + int64(rnd.IntN(3000))
				return j
			}
			handles := []*Journal{handle(), handle(), handle()}
			want := map[uint64]string{}
			for step := range 400 {
				at := rnd.IntN(len(handles))
				j := handles[at]
				n := rnd.Uint64N(12)
				body := fmt.Sprintf("%d of %d %s", step, n, bytes.Repeat([]byte("x"), rnd.IntN(200)))
				old, there := want[n]
				switch rnd.IntN(8) {
				case 0, 1, 2:
					err := j.Create(n, []byte(body), digest([]byte(body)), ready)
					if there != errors.Is(err, ErrConflict) || !there && err != nil {
						t.Fatalf("step %d: Create %d: %v, there: %v", step, n, err, there)
					}
					if !there {
						want[n] = body
					}
				case 3:
					expect := old
					if rnd.IntN(3) == 0 {
						expect = "something else"
					}
					err := j.Replace(n, func(b []byte) bool { return string(b) == expect }, []byte(body), digest([]byte(body)), ready)
					if ok := there && expect == old; ok != (err == nil) || !ok && !errors.Is(err, ErrConflict) {
						t.Fatalf("step %d: Replace %d: %v", step, n, err)
					} else if ok {
						want[n] = body
					}
				case 4, 5:
					if err := j.Delete(n, ready); err != nil {
						t.Fatal(err)
					}
					delete(want, n)
				case 6:
					if len(j.segments) > 0 { // dies in the middle of a write
						f := frameOf(t, dir, n, []byte(body), firstFrame)
						appendRaw(t, lastFile(t, dir), f[:rnd.IntN(len(f))])
					}
				case 7:
					if rnd.IntN(2) == 0 {
						j.Close()
					} else {
						handles[at] = handle()
					}
				}
				j = handles[rnd.IntN(len(handles))]
				if got := listed(t, j); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
					t.Fatalf("step %d: listed %v, want %v", step, got, slices.Sorted(maps.Keys(want)))
				}
				b, err := j.Get(n)
				if w, there := want[n]; there != (err == nil) || there && string(b) != w || !there && !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("step %d: Get %d: %q, %v; want %q", step, n, b, err, w)
				}
			}
			// With everything deleted nothing pins old segments.
			j := handles[0]
			for n := range want {
				if err := j.Delete(n, ready); err != nil {
					t.Fatal(err)
				}
			}
			mustCreate(t, j, 1, "last")
			if err := j.Delete(1, ready); err != nil {
				t.Fatal(err)
			}
			if names, _ := filepath.Glob(filepath.Join(dir, "~*")); len(names) > 1 {
				t.Errorf("%d segments are left for no object", len(names))
			}
		})
	}
}

// TestRaceHasOneWinner: creators in three handles, some of which seal segments all the time.
func TestRaceHasOneWinner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	const numbers, creators = 40, 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[uint64][]string{}
	handles := make([]*Journal, 3)
	for k := range handles {
		handles[k] = newJournal(t, dir)
		handles[k].full = firstFrame + 1 + int64(k)*4000
	}
	for c := range creators {
		wg.Go(func() {
			for n := range uint64(numbers) {
				body := fmt.Sprintf("%d by %d", n, c)
				switch err := handles[c%3].Create(n, []byte(body), digest([]byte(body)), ready); {
				case err == nil:
					mu.Lock()
					won[n] = append(won[n], body)
					mu.Unlock()
				case !errors.Is(err, ErrConflict):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := range uint64(numbers) {
		for _, j := range append(handles, newJournal(t, dir)) {
			if b, err := j.Get(n); err != nil || len(won[n]) != 1 || string(b) != won[n][0] {
				t.Errorf("%d: %q, %v; won: %q", n, b, err, won[n])
			}
		}
	}
}

// TestTornIsAbsent: what a power cut or a crash left of a write that was never acknowledged
// is not there, its number is free, and it stays void when later frames are durable.
func TestTornIsAbsent(t *testing.T) {
	body := bytes.Repeat([]byte("whole"), 1000)
	for name, tear := range map[string]func(frame []byte) []byte{
		"half a header":     func(f []byte) []byte { return f[:headerBytes/2] },
		"half a body":       func(f []byte) []byte { return f[:len(f)/2] },
		"a body of zeros":   func(f []byte) []byte { return append(f[:headerBytes:headerBytes], make([]byte, len(body))...) },
		"nothing but zeros": func(f []byte) []byte { return make([]byte, len(f)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			first := newJournal(t, dir)
			mustCreate(t, first, 1, "one")
			appendRaw(t, lastFile(t, dir), tear(frameOf(t, dir, 2, body, firstFrame)))
			for range 3 {
				j := newJournal(t, dir)
				if got := listed(t, j); !slices.Equal(got, []uint64{1}) {
					t.Fatalf("listed %v", got)
				}
			}
			mustCreate(t, newJournal(t, dir), 2, "two")
			mustCreate(t, first, 3, "three")
			for n := range uint64(8) {
				mustCreate(t, newJournal(t, dir), 4+n, "more")
			}
			for _, j := range []*Journal{first, newJournal(t, dir)} {
				if got := listed(t, j); !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
					t.Errorf("listed %v", got)
				}
				if b, err := j.Get(2); string(b) != "two" {
					t.Errorf("Get: %q, %v", b, err)
				}
				s := j.lastSegment()
				if err := j.settle(s, s.end); err != nil || s.synced != s.end || len(s.torn) > 0 {
					t.Errorf("durable up to %d of %d, torn %v: %v", s.synced, s.end, s.torn, err)
				}
			}
		})
	}
}

// TestFrameInABodyIsNone: bytes that look like a frame of the segment do not count where they
// are part of a valid body.
func TestFrameInABodyIsNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	mustCreate(t, j, 2, string(frameOf(t, dir, 7, []byte("seven"), 0)))
	for _, j := range []*Journal{j, newJournal(t, dir)} {
		if got := listed(t, j); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("listed %v", got)
		}
	}
}

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

// TestNotReady: nothing is written after the moment has passed.
func TestNotReady(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	late := errors.New("late")
	no := func() error { return late }
	for what, err := range map[string]error{
		"Create":  j.Create(2, nil, digestOfNothing, no),
		"Replace": j.Replace(1, func([]byte) bool { return true }, nil, digestOfNothing, no),
		"Delete":  j.Delete(1, no),
	} {
		if !errors.Is(err, late) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b, err := newJournal(t, dir).Get(1); string(b) != "one" {
		t.Errorf("Get: %q, %v", b, err)
	}
}

// TestLostEndStops: a file that is shorter than it was known to be durable is named, and
// nothing is added to it.
func TestLostEndStops(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	mustCreate(t, j, 2, "two")
	j.Close()
	path := lastFile(t, dir)
	if err := os.Truncate(path, firstFrame+headerBytes+3); err != nil {
		t.Fatal(err)
	}
	j = newJournal(t, dir)
	_, get := j.Get(1)
	_, list := j.List(0)
	for _, err := range []error{get, list, j.Create(2, nil, digestOfNothing, ready)} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want an error that names %s", err, path)
		}
	}
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

// TestFrameUnderWayIsWaitedFor: what was torn off claims to be longer than what follows it so
// far.
func TestFrameUnderWayIsWaitedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	reader := newJournal(t, dir)
	torn := frameOf(t, dir, 2, bytes.Repeat([]byte("t"), 100_000), firstFrame)
	appendRaw(t, lastFile(t, dir), torn[:8192])
	whole := frameOf(t, dir, 3, bytes.Repeat([]byte("b"), 300_000), firstFrame)
	appendRaw(t, lastFile(t, dir), whole[:200_000])
	if got := listed(t, reader); !slices.Equal(got, []uint64{1}) {
		t.Errorf("listed %v", got)
	}
	appendRaw(t, lastFile(t, dir), whole[200_000:])
	for _, j := range []*Journal{reader, newJournal(t, dir)} {
		if got := listed(t, j); !slices.Equal(got, []uint64{1, 3}) {
			t.Errorf("listed %v", got)
		}
	}
}

// TestPruneWaitsForTheNewVersion: a segment is not removed before what has taken the place
// of something in it is durable.
func TestPruneWaitsForTheNewVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "old")
	j.full = firstFrame + 1
	mustCreate(t, j, 2, "two") // in the next segment
	j.full = 1 << 20
	j.sync = func(*os.File) error { return syscall.EIO }
	if err := j.Replace(1, func([]byte) bool { return true }, []byte("new"), digest([]byte("new")), ready); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Replace: %v", err)
	}
	if err := j.Delete(2, ready); !errors.Is(err, syscall.EIO) {
		t.Errorf("Delete: %v, want EIO", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "~"+Name(1))); err != nil {
		t.Errorf("the segment of the old version: %v", err)
	}
}

// TestClosedMeanwhile: what was not synced when the journal was closed is not acknowledged.
func TestClosedMeanwhile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	j.sync = func(f *os.File) error {
		j.Close()
		return syncData(f)
	}
	if err := j.Create(2, []byte("two"), digest([]byte("two")), ready); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Create: %v, want ErrClosed", err)
	}
	s := &segment{file: nil, end: 9, synced: 5}
	if err := j.settle(s, 9); !errors.Is(err, os.ErrClosed) {
		t.Errorf("settle of a closed segment: %v, want ErrClosed", err)
	}
}

// TestPlainFolderStaysPlain: also when its last file is gone, and for those who look then.
func TestPlainFolderStaysPlain(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name(1)), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
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

func TestHeaderRoundTrip(t *testing.T) {
	h := header{
		kind: replace, nonce: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, number: 1 << 60, time: 12345, synced: 1 << 40,
		void: stretch{7, 8}, old: version{3, 1 << 33}, digest: digest([]byte("x")), size: 1 << 31,
	}
	b := h.append(nil)
	if len(b) != headerBytes {
		t.Fatalf("%d bytes", len(b))
	}
	if got, ok := decodeHeader(b, h.nonce); !ok || got != h {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, ok := decodeHeader(b, [8]byte{}); ok {
		t.Error("a header of another segment is taken")
	}
	for i := range b {
		b[i] ^= 1
		if _, ok := decodeHeader(b, h.nonce); ok {
			t.Errorf("a flipped bit in byte %d is not seen", i)
		}
		b[i] ^= 1
	}
	if digestOfNothing != digest(nil) {
		t.Error("the digest of nothing is another")
	}
}

// FuzzSegment opens what may stand behind the first page.
func FuzzSegment(f *testing.F) {
	nonce := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	frame := func(k kind, n uint64, body string, synced int64) []byte {
		h := header{kind: k, nonce: nonce, number: n, synced: synced, digest: digest([]byte(body)), size: int64(len(body))}
		return append(h.append(nil), body...)
	}
	f.Add([]byte{})
	f.Add(append(frame(create, 1, "one", 0), frame(create, 2, "two", 1<<40)...))
	f.Add(append([]byte("rubbish"), frame(create, 1, "one", 1<<20)...))
	f.Add(append(frame(create, 1, "one", 0), frame(seal, 0, "", 0)...))
	f.Add(frame(create, 1, "one", -5))
	f.Add(append(frame(create, 1, "one", 0), frame(replace, 1, "two", firstFrame+small)...))
	f.Fuzz(func(t *testing.T, tail []byte) {
		dir := t.TempDir()
		j := newJournal(t, dir)
		mustCreate(t, j, 100, "hundred")
		j.Close()
		path := lastFile(t, dir)
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page = append(newPageFor(nonce), page[firstFrame:]...)
		if err := os.WriteFile(path, append(page[:firstFrame], tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		j = newJournal(t, dir)
		list, err := j.List(0)
		if errors.Is(err, ErrDamaged) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if b, err := j.Get(e.Number); err != nil || int64(len(b)) != e.Size {
				t.Errorf("Get %d: %d bytes, %v; listed with %d", e.Number, len(b), err, e.Size)
			}
		}
		// Whatever stands there, a write counts and can be read.
		if err := j.Create(1<<50, []byte("new"), digest([]byte("new")), ready); err != nil && !errors.Is(err, ErrConflict) {
			t.Fatal(err)
		}
		if b, err := newJournal(t, dir).Get(1 << 50); err != nil {
			t.Errorf("Get: %q, %v", b, err)
		}
	})
}

// newPageFor is a first page with that nonce.
func newPageFor(nonce [8]byte) []byte {
	b := newFirstPage()
	copy(b[8:], nonce[:])
	appendCRC(b[:16])
	return b
}

// TestOwnersExclude: whoever creates a number has it alone until it deletes it, while segments
// are sealed and removed all the time.
func TestOwnersExclude(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	const numbers, owners, rounds = 5, 6, 150
	var holders [numbers]atomic.Int32
	var wg sync.WaitGroup
	handles := []*Journal{newJournal(t, dir), newJournal(t, dir), newJournal(t, dir)}
	for k, j := range handles {
		j.full = firstFrame + 500 + int64(k)*700
	}
	for o := range owners {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(o), 7))
			j := handles[o%len(handles)]
			for round := range rounds {
				n := rnd.Uint64N(numbers)
				body := fmt.Sprintf("%d of %d", round, o)
				switch err := j.Create(n, []byte(body), digest([]byte(body)), ready); {
				case errors.Is(err, ErrConflict):
					continue
				case err != nil:
					t.Error(err)
					return
				}
				if holders[n].Add(1) != 1 {
					t.Errorf("two own %d", n)
				}
				next := body + " replaced"
				is := func(b []byte) bool { return string(b) == body }
				if err := j.Replace(n, is, []byte(next), digest([]byte(next)), ready); err != nil {
					t.Errorf("Replace of what is ours: %v", err)
				}
				if b, err := handles[rnd.IntN(len(handles))].Get(n); err != nil || string(b) != next {
					t.Errorf("Get of what is ours: %q, %v", b, err)
				}
				holders[n].Add(-1)
				if err := j.Delete(n, ready); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if names, _ := filepath.Glob(filepath.Join(dir, "~*")); len(names) > 2 {
		t.Errorf("%d segments are left for no object", len(names))
	}
	if got := listed(t, newJournal(t, dir)); len(got) > 0 {
		t.Errorf("listed %v", got)
	}
}
