//go:build linux

package journal

import (
	"errors"
	"os"
	"testing"
)

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
