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
				if err := j.settle(s, s.end); err != nil || s.synced != s.end || s.tears() > 0 {
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
	// Who loses to somebody else's write looks again.
	appendRaw(t, lastFile(t, dir), frameOf(t, dir, 3, []byte("three"), firstFrame))
	syncs := 0
	j.sync = func(f *os.File) error {
		if syncs++; syncs == 1 {
			j.Close()
		}
		return syncData(f)
	}
	if err := j.Create(3, nil, digestOfNothing, ready); !errors.Is(err, ErrConflict) || syncs != 2 {
		t.Errorf("Create of what is there: %v after %d syncs, want ErrConflict after 2", err, syncs)
	}
	s := &segment{file: nil, end: 9, synced: 5}
	if err := j.settle(s, 9); !errors.Is(err, os.ErrClosed) {
		t.Errorf("settle of a closed segment: %v, want ErrClosed", err)
	}
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
