package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

func getMissing(t *testing.T, ctx context.Context, s storage.Store) {
	mustCreate(t, ctx, s, "dir/a", "A")
	// A folder of an object is no object, and an object is no folder.
	for _, key := range []string{"missing", "no/such/dir", "dir", "dir/a/b"} {
		_, _, err := s.Get(ctx, key)
		wantIs(t, fmt.Sprintf("Get(%q)", key), err, storage.ErrNotFound)
	}
}

func readAfterWrite(t *testing.T, ctx context.Context, s storage.Store) {
	for i := range 50 {
		key := fmt.Sprintf("raw/%d", i)
		tag := mustCreate(t, ctx, s, key, "A")
		wantObject(t, ctx, s, key, "A", tag)
		tag = mustReplace(t, ctx, s, key, tag, "B")
		wantObject(t, ctx, s, key, "B", tag)
		if err := s.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Get(ctx, key)
		wantIs(t, "Get right after Delete", err, storage.ErrNotFound)
	}
}

// orderKeys are in byte order. '-' and '.' sort below '/', digits and '=' above:
// a walk over directories by name gets "a-b", "a/b" and "a0" wrong.
var orderKeys = []string{
	"A", "a-b", "a-b-c/d", "a.b", "a/-", "a/b-c", "a/b.c/d", "a/b/c", "a/b0", "a/bb/c",
	"a0", "a=", "a_", "aa/b", "ab", "b/0/0", "b/1",
}

func listOrder(t *testing.T, ctx context.Context, s storage.Store) {
	if keys := keysOf(t, ctx, s, "", ""); len(keys) != 0 {
		t.Fatalf("an empty store lists %q", keys)
	}
	shuffled := slices.Clone(orderKeys)
	slices.Reverse(shuffled)
	createAll(t, ctx, s, shuffled)
	if got := keysOf(t, ctx, s, "", ""); !slices.Equal(got, orderKeys) {
		t.Fatalf("listed\n%q, want\n%q", got, orderKeys)
	}
}

func listPrefix(t *testing.T, ctx context.Context, s storage.Store) {
	createAll(t, ctx, s, orderKeys)
	for _, prefix := range []string{
		"a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "a/b/cc", "a-", "a-b", "aa", "aa/",
		"b", "b/", "c", "c/", "A", "A/", "a/b.c/d/e", "/", "a//", "~", "a b", ".", "..", "../", "./", "a/../",
	} {
		var want []string
		for _, key := range orderKeys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if got := keysOf(t, ctx, s, prefix, ""); !slices.Equal(got, want) {
			t.Errorf("prefix %q: listed %q, want %q", prefix, got, want)
		}
	}
}

func listAfter(t *testing.T, ctx context.Context, s storage.Store) {
	createAll(t, ctx, s, orderKeys)
	afters := append([]string{"0", "a", "a/", "a/b", "a/b/", "a/b/b", "a/b/c0", "a/c", "a1", "b/", "b/0", "zz", "~"}, orderKeys...)
	for _, prefix := range []string{"", "a", "a/", "a/b", "b/"} {
		for _, after := range afters {
			var want []string
			for _, key := range orderKeys {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := keysOf(t, ctx, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("prefix %q after %q: listed %q, want %q", prefix, after, got, want)
			}
		}
	}
}

// listPages is more than the 1,000 entries that a bucket returns at a time.
func listPages(t *testing.T, ctx context.Context, s storage.Store) {
	keys := numbered("log/%020d", 1100)
	createAll(t, ctx, s, append(slices.Clone(keys), "log-other", "logs/x"))
	if got := keysOf(t, ctx, s, "log/", ""); !slices.Equal(got, keys) {
		t.Fatalf("listed %d keys, want %d in order", len(got), len(keys))
	}
	for _, tt := range []struct {
		name, after string
		from        int
	}{
		{"a key that exists", keys[49], 50},
		{"a key that does not", keys[49] + "-", 50},
		{"a key before all", "log/", 0},
		{"a key close to the end", keys[1095], 1096},
		{"the last key", keys[1099], 1100},
		{"a key after all", "log/9", 1100},
	} {
		if got := keysOf(t, ctx, s, "log/", tt.after); !slices.Equal(got, keys[tt.from:]) {
			t.Errorf("after %s: listed %d keys, want %d", tt.name, len(got), len(keys)-tt.from)
		}
	}
}

func listEntries(t *testing.T, ctx context.Context, s storage.Store) {
	tags := map[string]storage.Tag{
		"a":   mustCreate(t, ctx, s, "a", ""),
		"b/c": mustCreate(t, ctx, s, "b/c", "12345"),
	}
	tags["b/c"] = mustReplace(t, ctx, s, "b/c", tags["b/c"], "1234567")
	sizes := map[string]int64{"a": 0, "b/c": 7}
	for e, err := range s.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Size != sizes[e.Key] {
			t.Errorf("%s: size %d, want %d", e.Key, e.Size, sizes[e.Key])
		}
		if e.Tag != "" && e.Tag != tags[e.Key] {
			t.Errorf("%s: listed tag %q, the write returned %q", e.Key, e.Tag, tags[e.Key])
		}
		if age := time.Since(e.Modified); age < -time.Hour || age > time.Hour {
			t.Errorf("%s: modified %v", e.Key, e.Modified)
		}
		delete(sizes, e.Key)
	}
	if len(sizes) != 0 {
		t.Errorf("not listed: %v", sizes)
	}
}

func listStops(t *testing.T, ctx context.Context, s storage.Store) {
	createAll(t, ctx, s, orderKeys)
	seq := s.List(ctx, "a", "")
	for range 2 { // a sequence may be ranged over again
		var got []string
		for e, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, e.Key); len(got) == 3 {
				break
			}
		}
		if want := orderKeys[1:4]; !slices.Equal(got, want) {
			t.Fatalf("first three: %q, want %q", got, want)
		}
	}
}

func listAfterPut(t *testing.T, ctx context.Context, s storage.Store) {
	const n = 60
	for i := range n {
		key := fmt.Sprintf("lap/%03d", i)
		mustCreate(t, ctx, s, key, "A")
		if got := keysOf(t, ctx, s, "lap/", ""); len(got) != i+1 || got[i] != key {
			t.Fatalf("listing right after Create(%q) shows %d of %d keys", key, len(got), i+1)
		}
	}
	for i := range n {
		if err := s.Delete(ctx, fmt.Sprintf("lap/%03d", i)); err != nil {
			t.Fatal(err)
		}
		if got := keysOf(t, ctx, s, "lap/", ""); len(got) != n-1-i {
			t.Fatalf("listing right after Delete shows %d keys, want %d", len(got), n-1-i)
		}
	}
}

func keyForms(t *testing.T, ctx context.Context, s storage.Store) {
	long := strings.Repeat("x", 200)
	for _, key := range []string{
		"a=b", "A.b_c-d=e", "...", "a..b/.c", "-", "=", "0/1/2/3/4/5/6/7/8/9",
		long, long + "/" + long + "/" + long + "/" + long,
	} {
		tag := mustCreate(t, ctx, s, key, "A")
		tag = mustReplace(t, ctx, s, key, tag, "B")
		wantObject(t, ctx, s, key, "B", tag)
		if got := keysOf(t, ctx, s, key, ""); len(got) != 1 || got[0] != key {
			t.Errorf("List(%q) = %q", key, got)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
}

func invalidKeys(t *testing.T, ctx context.Context, s storage.Store) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "a b", "a\\b", "a\x00b",
		"ü", "a~", "a%2f", "a?b", strings.Repeat("x", 201), strings.Repeat("x/", 450) + "x",
	} {
		_, _, err := s.Get(ctx, key)
		wantIs(t, fmt.Sprintf("Get(%.20q)", key), err, storage.ErrInvalidKey)
		_, err = s.Create(ctx, key, nil)
		wantIs(t, fmt.Sprintf("Create(%.20q)", key), err, storage.ErrInvalidKey)
		_, err = s.Replace(ctx, key, "tag", nil)
		wantIs(t, fmt.Sprintf("Replace(%.20q)", key), err, storage.ErrInvalidKey)
		err = s.Delete(ctx, key)
		wantIs(t, fmt.Sprintf("Delete(%.20q)", key), err, storage.ErrInvalidKey)
	}
}

func cancelledContext(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "a", "A")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err := s.Get(gone, "a")
	wantIs(t, "Get", err, context.Canceled)
	_, err = s.Create(gone, "b", nil)
	wantIs(t, "Create", err, context.Canceled)
	_, err = s.Replace(gone, "a", tag, nil)
	wantIs(t, "Replace", err, context.Canceled)
	wantIs(t, "Delete", s.Delete(gone, "a"), context.Canceled)
	n := 0
	for _, err := range s.List(gone, "", "") {
		n++
		wantIs(t, "List", err, context.Canceled)
	}
	if n != 1 {
		t.Errorf("List yielded %d times, want one error", n)
	}
	wantObject(t, ctx, s, "a", "A", tag)
}
