//go:build linux

package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

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

// TestDeleteBesideWriters: it waits for what it needs, not until nobody writes.
func TestDeleteBesideWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	j := newJournal(t, dir)
	mustCreate(t, j, 1, "one")
	j.full = firstFrame + 1
	mustCreate(t, j, 2, "two")
	j.full = 1 << 30
	var syncs, deletedAt atomic.Int64
	j.sync = func(*os.File) error {
		syncs.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	}
	const bound = 1000 // syncs
	var next atomic.Uint64
	next.Store(10)
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for deletedAt.Load() == 0 && syncs.Load() < bound {
				if err := j.Create(next.Add(1), nil, digestOfNothing, ready); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for syncs.Load() < 5 {
		time.Sleep(time.Millisecond)
	}
	mustDelete(t, j, 1)
	deletedAt.Store(syncs.Load())
	writers.Wait()
	if deletedAt.Load() >= bound {
		t.Errorf("the deletion waited until nobody wrote")
	}
	if _, err := os.Stat(filepath.Join(dir, "~"+Name(1))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the segment is still there: %v", err)
	}
}

// TestNoWaitForWhatIsDurable: not for a sync that others need.
func TestNoWaitForWhatIsDurable(t *testing.T) {
	j := newJournal(t, t.TempDir())
	s := &segment{syncing: true, synced: 10}
	done := make(chan error, 1)
	go func() { done <- j.settle(s, 10) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
}

// orderedFolder notes which segments there are whenever their removal is made durable.
type orderedFolder struct {
	plainFolder
	saw *[]string
}

func (f orderedFolder) Sync(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "~*"))
	*f.saw = append(*f.saw, filepath.Base(slices.Min(names)))
	return err
}

// TestRemovalsInOrder: a power cut must not bring back a segment and not the one after it.
func TestRemovalsInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	var saw []string
	j := New(dir, orderedFolder{saw: &saw})
	defer j.Close()
	j.full = firstFrame + 1
	for n := uint64(1); n < 5; n++ {
		mustCreate(t, j, n, "abc")
	}
	j.full = 1 << 20
	for _, n := range []uint64{2, 3} {
		mustDelete(t, j, n)
	}
	saw = nil
	mustDelete(t, j, 1) // and the two after it go
	want := []string{"~" + Name(2), "~" + Name(3), "~" + Name(4)}
	if !slices.Equal(saw, want) {
		t.Errorf("the first segments were %q when their folder was synced, want %q", saw, want)
	}
}
