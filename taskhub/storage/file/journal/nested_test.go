//go:build linux

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestNested runs random operations on four handles, each of which may be stopped right before
// it writes or makes a file while others go on, and dies in the middle of writes; segments come
// back that have been removed. A map says what is right.
func TestNested(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := &nesting{t: t, rnd: rand.New(rand.NewPCG(seed, 99)), dir: filepath.Join(t.TempDir(), "log"), want: map[uint64]string{}}
			for i := range n.handles {
				n.handles[i] = n.handle()
			}
			for range 300 {
				n.step()
			}
		})
	}
}

type nesting struct {
	t       *testing.T
	rnd     *rand.Rand
	dir     string
	handles [4]*Journal
	busy    [4]bool
	depth   int
	steps   int
	want    map[uint64]string
}

func (n *nesting) handle() *Journal {
	j := New(n.dir, stoppedFolder{before: func(string) { n.others() }})
	n.t.Cleanup(j.Close)
	j.full = firstFrame + 1 + int64(n.rnd.IntN(3000))
	j.sync = func(*os.File) error { return nil }
	return j
}

// others lets those go on that are not stopped.
func (n *nesting) others() {
	if n.depth < 3 && n.rnd.IntN(3) == 0 {
		for range 1 + n.rnd.IntN(3) {
			n.step()
		}
	}
}

func (n *nesting) step() {
	at := n.rnd.IntN(len(n.handles))
	if n.busy[at] {
		return
	}
	n.busy[at] = true
	n.depth++
	n.operate(at)
	n.busy[at] = false
	n.depth--
	if at = n.rnd.IntN(len(n.handles)); !n.busy[at] {
		n.compare(n.handles[at])
	} else {
		n.compare(newJournal(n.t, n.dir))
	}
}

func (n *nesting) operate(at int) {
	t, j, number := n.t, n.handles[at], n.rnd.Uint64N(6)
	n.steps++
	id, body := n.steps, fmt.Sprintf("%d of %d %s", n.steps, number, bytes.Repeat([]byte("x"), n.rnd.IntN(200)))
	asked := 0
	stop := func() error {
		if asked++; asked > 1 { // right before a write
			n.others()
		}
		return nil
	}
	switch n.rnd.IntN(9) {
	case 0, 1, 2:
		err := j.Create(number, []byte(body), digest([]byte(body)), stop)
		_, there := n.want[number]
		switch {
		case err == nil && there, err != nil && !errors.Is(err, ErrConflict):
			t.Fatalf("step %d: Create %d: %v, there: %v", id, number, err, there)
		case err == nil: // after a conflict it may have been deleted since
			n.want[number] = body
		}
	case 3, 4:
		expect := n.want[number]
		err := j.Replace(number, func(b []byte) bool { return string(b) == expect }, []byte(body), digest([]byte(body)), stop)
		now, there := n.want[number]
		if ok := there && expect == now; ok != (err == nil) || !ok && !errors.Is(err, ErrConflict) {
			t.Fatalf("step %d: Replace %d: %v, there: %v", id, number, err, there)
		} else if ok {
			n.want[number] = body
		}
	case 5, 6:
		if err := j.Delete(number, stop); err != nil {
			t.Fatalf("step %d: Delete %d: %v", id, number, err)
		}
		if asked > 1 {
			delete(n.want, number)
		}
	case 7:
		n.disturb(number, []byte(body))
	case 8:
		if n.rnd.IntN(2) == 0 {
			j.Close()
		} else {
			n.handles[at] = n.handle()
		}
	}
}

// disturb leaves half a write, or makes a segment again.
func (n *nesting) disturb(number uint64, body []byte) {
	names, _ := filepath.Glob(filepath.Join(n.dir, "~*"))
	if len(names) == 0 {
		return
	}
	f := frameOf(n.t, n.dir, number, body, firstFrame)
	appendRaw(n.t, lastFile(n.t, n.dir), f[:n.rnd.IntN(len(f))])
	if first, _ := Number(filepath.Base(slices.Min(names))[1:]); first > 1 && n.rnd.IntN(2) == 0 {
		path := filepath.Join(n.dir, "~"+Name(1+n.rnd.Uint64N(first-1)))
		if err := (plainFolder{}).Make(path, newFirstPage()); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *nesting) compare(j *Journal) {
	n.t.Helper()
	if got := listed(n.t, j); !slices.Equal(got, slices.Sorted(maps.Keys(n.want))) {
		n.t.Fatalf("after step %d: listed %v, want %v", n.steps, got, slices.Sorted(maps.Keys(n.want)))
	}
	for number := range uint64(6) {
		b, err := j.Get(number)
		want, there := n.want[number]
		if there != (err == nil) || string(b) != want || !there && !errors.Is(err, fs.ErrNotExist) {
			n.t.Fatalf("after step %d: Get %d: %q, %v; want %q", n.steps, number, b, err, want)
		}
	}
}
