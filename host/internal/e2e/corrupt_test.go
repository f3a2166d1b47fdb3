package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// overwrite replaces an object whatever it holds, and returns what it held.
func overwrite(t *testing.T, store storage.Store, key string, change func([]byte) []byte) []byte {
	t.Helper()
	b, tag, err := store.Get(t.Context(), key)
	must(t, err)
	_, err = store.Replace(t.Context(), key, tag, change(bytes.Clone(b)))
	must(t, err)
	return b
}

// flipped has one bit changed in its middle.
func flipped(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

func keys(t *testing.T, store storage.Store, prefix string) []string {
	t.Helper()
	var list []string
	for e, err := range store.List(t.Context(), prefix, "") {
		must(t, err)
		list = append(list, e.Key)
	}
	return list
}

// damagedHub is a hub of one partition, left by a host that was killed, in which some
// instances of Child have ended and some wait.
func damagedHub(t *testing.T, s hosttest.Store) (*hosttest.Root, storage.Store) {
	t.Helper()
	r := deployed(t, s.With("partitionCount", 1), testApp, nil)
	h := r.Start(t)
	startChildren(t, h, "a")
	h.Kill()
	return r, s.Open(t, r)
}

const children = 6

// startChildren starts instances of Child; the even ones end.
func startChildren(t *testing.T, h *hosttest.Host, prefix string) {
	t.Helper()
	for n := range children {
		id := fmt.Sprint(prefix, n)
		h.StartInstance(t, "Child", id, "null")
		if n%2 == 0 {
			h.Raise(t, id, "Go", `"early"`)
			h.UntilStatus(t, id, "Completed")
		}
	}
}

// endChildren checks that nothing of them is lost, and ends the others.
func endChildren(t *testing.T, h *hosttest.Host, prefix string) {
	t.Helper()
	for n := range children {
		id, want := fmt.Sprint(prefix, n), "early"
		if n%2 == 1 {
			want = "late"
			h.Raise(t, id, "Go", `"late"`)
		}
		var out string
		if h.Output(t, id, &out); out != want {
			t.Errorf("%s ends with %q, want %q", id, out, want)
		}
	}
}

// untilParked waits until the host says that partition 0 is parked because of key.
func untilParked(t *testing.T, h *hosttest.Host, key string) {
	t.Helper()
	hosttest.Until(t, "partition 0 is parked because of "+key, func() bool {
		return slices.ContainsFunc(h.HostErrors(t), func(e string) bool {
			return strings.HasPrefix(e, "partition 0 is parked: ") && strings.Contains(e, key)
		})
	})
}

// TestCorruptLogRecord: the partition is parked, the object named, its bytes kept; once
// the object is as it was, nothing is lost.
func TestCorruptLogRecord(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r, store := damagedHub(t, s)
		records := keys(t, store, "p/00/log/")
		key := records[len(records)/2]
		good := overwrite(t, store, key, flipped)

		h := r.Start(t)
		untilParked(t, h, key)
		for _, request := range []struct{ method, path string }{
			{http.MethodGet, client.InstancePath("a0")}, {http.MethodPost, client.StartPath("Child", "new")},
		} {
			a, err := h.Do(t.Context(), request.method, request.path, nil)
			must(t, err)
			if a.Code != http.StatusServiceUnavailable {
				t.Errorf("%s %s: got %d, want 503: %s", request.method, request.path, a.Code, a.Body)
			}
		}
		h.Stop(t)
		left := overwrite(t, store, key, func([]byte) []byte { return good })
		if !bytes.Equal(left, flipped(bytes.Clone(good))) {
			t.Error("the bytes of the damaged record were changed")
		}
		if now := keys(t, store, "p/00/log/"); !slices.Equal(now[:min(len(now), len(records))], records) {
			t.Errorf("records were %q, and are %q", records, now)
		}
		h = r.Start(t)
		endChildren(t, h, "a")
		h.Stop(t)
	})
}

// TestCorruptFileOfALog: on files the records share a file. One flipped bit on the disk, or a lost
// end, parks the partition and names the file; put back as it was, nothing is lost.
func TestCorruptFileOfALog(t *testing.T) {
	t.Parallel()
	r, _ := damagedHub(t, hosttest.File())
	segments := r.Glob(".durafunc/store/*/p/00/log/~*")
	if len(segments) != 1 {
		t.Skipf("the log is in %q", segments)
	}
	path := segments[0]
	good, err := os.ReadFile(path)
	must(t, err)
	for _, bad := range [][]byte{flipped(bytes.Clone(good)), good[:len(good)/2]} {
		must(t, os.WriteFile(path, bad, 0o600))
		h := r.Start(t)
		untilParked(t, h, path)
		h.Stop(t)
		named(t, r, "damaged: "+path)
		now, err := os.ReadFile(path)
		must(t, err)
		const records = 4096 // the first page notes what is durable
		if !bytes.Equal(now[records:len(bad)], bad[records:]) {
			t.Error("the bytes of the damaged file were changed")
		}
	}
	must(t, os.WriteFile(path, good, 0o600))
	h := r.Start(t)
	endChildren(t, h, "a")
	h.Stop(t)
}

func readRoot(t *testing.T, store storage.Store) partition.Root {
	t.Helper()
	b, _, err := store.Get(t.Context(), "p/00/root")
	must(t, err)
	var root partition.Root
	must(t, json.Unmarshal(b, &root))
	return root
}

// TestCorruptCheckpoint: the checkpoint before serves instead. With both damaged the
// partition is parked.
func TestCorruptCheckpoint(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r := deployed(t, s.With("partitionCount", 1), testApp, nil)
		for _, prefix := range []string{"a", "b"} {
			h := r.Start(t)
			startChildren(t, h, prefix)
			h.Stop(t) // takes a checkpoint
		}
		store := s.Open(t, r)
		root := readRoot(t, store)
		if root.Checkpoint == nil || root.Previous == nil || root.Checkpoint.Bundle.Name == root.Previous.Bundle.Name {
			t.Fatalf("the root has no two checkpoints: %+v", root)
		}
		newest := bundleKey(root.Checkpoint)
		overwrite(t, store, newest, flipped)
		h := r.Start(t)
		endChildren(t, h, "a")
		endChildren(t, h, "b")
		if !strings.Contains(h.Log(), "going back to the one before it") || !strings.Contains(h.Log(), newest) {
			t.Errorf("the log does not name %s:\n%s", newest, h.Tail(20))
		}
		h.Kill()
		// Usually it has taken no checkpoint, and the damaged one is still the newest.
		root = readRoot(t, store)
		for _, c := range []*checkpoint.Manifest{root.Checkpoint, root.Previous} {
			if c != nil && bundleKey(c) != newest {
				overwrite(t, store, bundleKey(c), flipped)
			}
		}
		h = r.Start(t)
		untilParked(t, h, "p/00/table/")
		h.Stop(t)
	})
}

// bundleKey is the object of a checkpoint that is damaged in these tests.
func bundleKey(c *checkpoint.Manifest) string { return "p/00/table/" + c.Bundle.Name }

func TestUnknownHubFormat(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r, store := damagedHub(t, s)
		good := overwrite(t, store, "hub.json", func(b []byte) []byte {
			var hub map[string]any
			must(t, json.Unmarshal(b, &hub))
			delete(hub, "sum")
			hub["format"] = 99
			return checked.Marshal(hub)
		})
		before := keys(t, store, "")
		refused(t, r, nil, "hub.json", "format 99")
		if now := keys(t, store, ""); !slices.Equal(now, before) {
			t.Errorf("the host that was refused changed the hub: %q, before %q", now, before)
		}
		overwrite(t, store, "hub.json", func([]byte) []byte { return []byte("{") })
		refused(t, r, nil, "hub.json")
		overwrite(t, store, "hub.json", func([]byte) []byte { return flipped(bytes.Clone(good)) })
		refused(t, r, nil, "corrupt object hub.json")
		overwrite(t, store, "hub.json", func([]byte) []byte { return good })
		h := r.Start(t)
		endChildren(t, h, "a")
		h.Stop(t)
	})
}
