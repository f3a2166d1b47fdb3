package commitlog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/durafunc/durafunc/taskhub/commitlog"
)

var update = flag.Bool("update", false, "write testdata anew; released files are never changed")

// plain and packed are the two forms that a body can have.
func plain() *commitlog.Record {
	return &commitlog.Record{
		Kind: commitlog.Commit, Hub: "0123456789abcdef0123456789abcdef", Session: "fedcba9876543210fedcba9876543210",
		Partition: 3, Epoch: 17, Seq: 81234, Nonce: [16]byte{1, 2, 3, 15: 16}, Prev: sha256.Sum256([]byte("before")),
		Body: []byte("\x01\x01k\x05value"),
	}
}

func packed() *commitlog.Record {
	r := plain()
	r.Seq++
	r.Body = bytes.Repeat([]byte("\x01\x01k\x05value"), 500)
	return r
}

func epoch() *commitlog.Record {
	r := plain()
	r.Kind, r.Body = commitlog.Epoch, []byte{}
	return r
}

func golden(t *testing.T, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A bucket outlives the binary that wrote it.
func TestFormatIsPinned(t *testing.T) {
	for name, r := range map[string]*commitlog.Record{"plain.dfl1": plain(), "packed.dfl1": packed(), "epoch.dfl1": epoch()} {
		t.Run(name, func(t *testing.T) {
			stored := golden(t, name, r.Encode())
			got, err := commitlog.Decode(stored)
			if err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("stored record reads as %+v, %v", got, err)
			}
			// A newer compressor may pack a body otherwise; everything else has one form.
			if name != "packed.dfl1" && !bytes.Equal(r.Encode(), stored) {
				t.Errorf("encoded as\n%x, stored is\n%x", r.Encode(), stored)
			}
		})
	}
}

func TestFieldsStandWhereTheTableSays(t *testing.T) {
	r := plain()
	b := r.Encode()
	at := 72
	take := func(n int) []byte { at += n; return b[at-n : at] }
	if string(b[:4]) != "DFL1" || b[4] != 1 || b[5] != 0 {
		t.Errorf("begins with %q", b[:6])
	}
	if n := binary.BigEndian.Uint16(b[6:]); int(n) != r.Partition {
		t.Errorf("partition %d", n)
	}
	if n := binary.BigEndian.Uint64(b[8:]); n != r.Epoch {
		t.Errorf("epoch %d", n)
	}
	if n := binary.BigEndian.Uint64(b[16:]); n != r.Seq {
		t.Errorf("seq %d", n)
	}
	if !bytes.Equal(b[24:40], r.Nonce[:]) || !bytes.Equal(b[40:72], r.Prev[:]) {
		t.Error("nonce or digest stands elsewhere")
	}
	for _, want := range []string{r.Hub, r.Session} {
		if got := take(int(take(1)[0])); string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, what := range []string{"before compression", "as it follows"} {
		if n := binary.BigEndian.Uint32(take(4)); int(n) != len(r.Body) {
			t.Errorf("length of the body %s: %d", what, n)
		}
	}
	if got := take(len(r.Body)); !bytes.Equal(got, r.Body) {
		t.Errorf("body %q", got)
	}
	if sum := crc32.Checksum(b[:at], crc32.MakeTable(crc32.Castagnoli)); binary.BigEndian.Uint32(b[at:]) != sum || at+4 != len(b) {
		t.Errorf("checksum %x, want %08x", b[at:], sum)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return string(rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, name))
		}
		r := &commitlog.Record{
			Kind: rapid.SampledFrom([]commitlog.Kind{commitlog.Commit, commitlog.Epoch}).Draw(t, "kind"),
			Hub:  text("hub"), Session: text("session"), Partition: int(rapid.Uint16().Draw(t, "partition")),
			Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq"),
			Body: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "body"),
		}
		copy(r.Nonce[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "nonce"))
		copy(r.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
		got, err := commitlog.Decode(r.Encode())
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("got %+v, %v; want %+v", got, err, r)
		}
	})
}

func TestLargeBodyIsCompressed(t *testing.T) {
	r := plain()
	r.Body = bytes.Repeat([]byte("history of an instance that looks like the others; "), 200_000)
	b := r.Encode()
	if len(b) > len(r.Body)/10 {
		t.Errorf("%d bytes for a body of %d", len(b), len(r.Body))
	}
	if got, err := commitlog.Decode(b); err != nil || !bytes.Equal(got.Body, r.Body) {
		t.Errorf("does not read back: %v", err)
	}
	// Half of it cannot be compressed: blocks of every kind.
	for at := range len(r.Body) / 200 {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(at)))
		copy(r.Body[at*100:], sum[:])
	}
	b = r.Encode()
	if got, err := commitlog.Decode(b); err != nil || !bytes.Equal(got.Body, r.Body) {
		t.Errorf("does not read back: %v", err)
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	for name, r := range map[string]*commitlog.Record{"plain": plain(), "packed": packed(), "epoch": epoch()} {
		good := r.Encode()
		for at := range good {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(good)
				bad[at] ^= flip
				if got, err := commitlog.Decode(bad); !errors.Is(err, commitlog.ErrMalformed) {
					t.Errorf("%s: byte %d ^ %#x: %+v, %v", name, at, flip, got, err)
				}
			}
			if got, err := commitlog.Decode(good[:at]); !errors.Is(err, commitlog.ErrMalformed) {
				t.Errorf("%s: first %d bytes: %+v, %v", name, at, got, err)
			}
		}
		if _, err := commitlog.Decode(append(bytes.Clone(good), 0)); !errors.Is(err, commitlog.ErrMalformed) {
			t.Errorf("%s: a byte more: %v", name, err)
		}
	}
}

// resum gives damaged bytes a checksum that fits, so that the checks behind it count.
func resum(b []byte) []byte {
	end := len(b) - 4
	binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestDamageWithAFittingChecksum(t *testing.T) {
	body := 72 + 1 + len(plain().Hub) + 1 + len(plain().Session)
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
		want   string
	}{
		{"another version", func(b []byte) []byte { b[3] = '2'; return b }, "DFL2"},
		{"unknown kind", func(b []byte) []byte { b[4] = 9; return b }, "kind 9"},
		{"unknown body encoding", func(b []byte) []byte { b[5] = 7; return b }, "encoding 7"},
		{"plain bytes said to be zstd", func(b []byte) []byte { b[5] = 1; return b }, "body"},
		{"hub id beyond the end", func(b []byte) []byte { b[72] = 255; return b }, ""},
		{"more body than there is", func(b []byte) []byte { b[body+7]++; return b }, "body length"},
		{"another length before compression", func(b []byte) []byte { b[body+3]++; return b }, "body length"},
		{"nothing but the header", func(b []byte) []byte { return b[:86] }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := commitlog.Decode(resum(tt.damage(plain().Encode())))
			if !errors.Is(err, commitlog.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v; want ErrMalformed about %q", r, err, tt.want)
			}
		})
	}
}

// A few bytes must not make the reader reserve what they claim.
func TestClaimedSizeIsNotAllocated(t *testing.T) {
	lie := packed().Encode()
	body := 72 + 1 + len(plain().Hub) + 1 + len(plain().Session)
	binary.BigEndian.PutUint32(lie[body:], 250<<20)
	resum(lie)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := commitlog.Decode(lie)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, commitlog.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d bytes claimed %d MiB, and %d MiB were allocated", len(lie), 250, grown>>20)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []*commitlog.Record{plain(), packed(), epoch()} {
		f.Add(r.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Without a fitting checksum hardly any input would get past the first check.
		if len(b) > 4 && len(b) < 1<<16 {
			b = resum(bytes.Clone(b))
		}
		r, err := commitlog.Decode(b)
		if err != nil {
			if !errors.Is(err, commitlog.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if again, err := commitlog.Decode(r.Encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
