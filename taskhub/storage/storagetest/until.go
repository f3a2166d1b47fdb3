package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// expiredDeadline: what comes after the moment of storage.Until changes nothing and says
// so, whatever the state of the key; reads are not concerned.
func expiredDeadline(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "there", "A")
	late := storage.Until(ctx, time.Now().Add(-time.Second))
	for _, key := range []string{"there", "missing"} {
		_, err := s.Create(late, key, []byte("X"))
		wantIs(t, "late Create of "+key, err, storage.ErrExpired)
		_, err = s.Replace(late, key, tag, []byte("X"))
		wantIs(t, "late Replace of "+key, err, storage.ErrExpired)
		wantIs(t, "late Delete of "+key, s.Delete(late, key), storage.ErrExpired)
	}
	wantObject(t, late, s, "there", "A", tag)
	if keys := keysOf(t, late, s, "", ""); len(keys) != 1 || keys[0] != "there" {
		t.Errorf("after late writes the store holds %q", keys)
	}
}

// deadlineToCome: before its moment a write does what it does without one, and the
// verdicts are the same.
func deadlineToCome(t *testing.T, ctx context.Context, s storage.Store) {
	soon := storage.Until(ctx, time.Now().Add(timeout))
	tag := mustCreate(t, soon, s, "a/b=c", "A")
	_, err := s.Create(soon, "a/b=c", []byte("A"))
	wantIs(t, "Create of an existing key", err, storage.ErrConflict)
	next := mustReplace(t, soon, s, "a/b=c", tag, "B")
	_, err = s.Replace(soon, "a/b=c", tag, []byte("C"))
	wantIs(t, "Replace with a stale tag", err, storage.ErrConflict)
	_, err = s.Replace(soon, "missing", tag, []byte("C"))
	wantIs(t, "Replace of a missing key", err, storage.ErrConflict)
	wantObject(t, ctx, s, "a/b=c", "B", next)
	empty := mustCreate(t, soon, s, "empty", "")
	wantObject(t, ctx, s, "empty", "", empty)
	for range 2 { // the second finds nothing
		if err := s.Delete(soon, "a/b=c"); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = s.Get(ctx, "a/b=c")
	wantIs(t, "Get after Delete", err, storage.ErrNotFound)
	gone, cancel := context.WithCancel(soon)
	cancel()
	_, err = s.Create(gone, "c", nil)
	wantIs(t, "Create with a context that has ended", err, context.Canceled)
}

// deadlineRenewed: an expired attempt is no verdict; the same bytes under a later moment
// are stored.
func deadlineRenewed(t *testing.T, ctx context.Context, s storage.Store) {
	_, err := s.Create(storage.Until(ctx, time.Now().Add(-time.Second)), "k", []byte("A"))
	wantIs(t, "late Create", err, storage.ErrExpired)
	again := storage.Until(storage.Until(ctx, time.Now().Add(-time.Second)), time.Now().Add(timeout))
	tag := mustCreate(t, again, s, "k", "A")
	wantObject(t, ctx, s, "k", "A", tag)
}
