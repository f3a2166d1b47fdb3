package e2e

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// named checks that hub status and hub verify say what is damaged.
func named(t *testing.T, r *hosttest.Root, what string) {
	t.Helper()
	for verb, code := range map[string]int{"status": 0, "verify": 1} {
		got := r.Run(t, "hub", verb)
		if got.Code != code || !strings.Contains(got.Stdout, what) {
			t.Errorf("hub %s: exit code %d, want %d, and %s\n%s%s", verb, got.Code, code, what, got.Stdout, got.Stderr)
		}
	}
}

// untilServed waits until the host serves all its partitions.
func untilServed(t *testing.T, h *hosttest.Host) {
	t.Helper()
	hosttest.Until(t, "all partitions are served", func() bool {
		hub, err := h.TaskHub(t.Context())
		if err != nil {
			return false
		}
		for _, p := range hub.Partitions {
			if p.State != "serving" {
				return false
			}
		}
		return true
	})
}

// TestCorruptRoot: one flipped bit, and the partition is parked, the root named and kept.
func TestCorruptRoot(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r, store := damagedHub(t, s)
		const key = "p/00/root"
		good := overwrite(t, store, key, flipped)
		h := r.Start(t)
		untilParked(t, h, key)
		named(t, r, key+": damaged")
		if !strings.Contains(h.Log(), "corrupt object "+key) {
			t.Errorf("the log does not name %s:\n%s", key, h.Tail(20))
		}
		h.Stop(t)
		if left := overwrite(t, store, key, func([]byte) []byte { return good }); !bytes.Equal(left, flipped(bytes.Clone(good))) {
			t.Error("the bytes of the damaged root were changed")
		}
		h = r.Start(t)
		endChildren(t, h, "a")
		h.Stop(t)
	})
}

// TestCorruptSession: that of a host that was killed keeps its partition only as long as its
// lease, and one that lives joins again.
func TestCorruptSession(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r, store := damagedHub(t, s.With("leaseDuration", shortLease.String()))
		key := keys(t, store, "session/")[0]
		overwrite(t, store, key, flipped)
		named(t, r, key+": damaged")
		h := r.Start(t)
		untilServed(t, h)
		if !strings.Contains(h.Log(), "session cannot be read") || !strings.Contains(h.Log(), key) {
			t.Errorf("the log does not name %s:\n%s", key, h.Tail(20))
		}
		hub, err := h.TaskHub(t.Context())
		must(t, err)
		for key, err = "session/"+hub.Session, storage.ErrConflict; errors.Is(err, storage.ErrConflict); { // with a renewal
			var b []byte
			var tag storage.Tag
			b, tag, err = store.Get(t.Context(), key)
			must(t, err)
			_, err = store.Replace(t.Context(), key, tag, flipped(bytes.Clone(b)))
		}
		must(t, err)
		hosttest.Until(t, "the host joins again", func() bool {
			now, err := h.TaskHub(t.Context())
			return err == nil && now.Session != hub.Session
		})
		untilServed(t, h)
		endChildren(t, h, "a")
		h.Stop(t)
	})
}
