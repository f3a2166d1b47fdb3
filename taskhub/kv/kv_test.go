package kv_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/durafunc/durafunc/taskhub/kv"
)

// add puts a mutation into a batch, as whoever decided it did.
func add(b *kv.Batch, m kv.Mutation) {
	switch m.Op {
	case kv.Put:
		b.Put(m.Key, m.Value)
	case kv.Delete:
		b.Delete(m.Key)
	case kv.DeleteRange:
		b.DeleteRange(m.Key, m.Value)
	}
}

func decode(ops []byte) (all []kv.Mutation, err error) {
	for m, err := range kv.Mutations(ops) {
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

func same(a, b kv.Mutation) bool {
	return a.Op == b.Op && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

func TestBatchReadsBackAsWritten(t *testing.T) {
	long := bytes.Repeat([]byte("v"), 70_000) // a length of three varint bytes
	want := []kv.Mutation{
		{Op: kv.Put, Key: []byte("a"), Value: []byte("1")},
		{Op: kv.Put, Key: []byte{}, Value: []byte{}},
		{Op: kv.Delete, Key: []byte{0, 0xff}},
		{Op: kv.DeleteRange, Key: []byte("b"), Value: []byte("c")},
		{Op: kv.Put, Key: []byte("a"), Value: long},
	}
	var b kv.Batch
	for _, m := range want {
		add(&b, m)
	}
	if b.Count() != len(want) {
		t.Errorf("Count: %d, want %d", b.Count(), len(want))
	}
	got, err := decode(b.Bytes())
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("decoded %v, %v", got, err)
	}
}

func TestResetDoesNotTouchTheBytesHandedOut(t *testing.T) {
	var b kv.Batch
	b.Put([]byte("k"), []byte("first"))
	out := b.Bytes()
	kept := bytes.Clone(out)
	b.Reset()
	if b.Count() != 0 || len(b.Bytes()) != 0 {
		t.Errorf("after Reset: %d mutations in %d bytes", b.Count(), len(b.Bytes()))
	}
	b.Put([]byte("k"), []byte("other"))
	if !bytes.Equal(out, kept) {
		t.Error("a commit under way was overwritten by the next batch")
	}
}

// The encoding is part of the log format: these bytes must stay readable.
func TestEncodingIsPinned(t *testing.T) {
	var b kv.Batch
	b.Put([]byte("k"), []byte("val"))
	b.Delete([]byte("d"))
	b.DeleteRange([]byte("lo"), []byte("up"))
	want := "\x01\x01k\x03val" + "\x02\x01d" + "\x03\x02lo\x02up"
	if string(b.Bytes()) != want {
		t.Errorf("encoded as %q, want %q", b.Bytes(), want)
	}
}

func TestMalformedBatches(t *testing.T) {
	var ok kv.Batch
	ok.Put([]byte("k"), []byte("v"))
	for _, tt := range []struct {
		name  string
		ops   string
		valid int // mutations before the damage
	}{
		{"operation 0", "\x00\x01k", 0},
		{"operation beyond the last", "\x04\x01k", 0},
		{"no key", "\x01", 0},
		{"key cut short", "\x02\x05ab", 0},
		{"no value", "\x01\x01k", 0},
		{"value cut short", "\x01\x01k\x02v", 0},
		{"range without its end", "\x03\x01k", 0},
		{"length of a key beyond 64 bits", "\x02" + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0},
		{"length of a key near the end of 64 bits", "\x02" + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0},
		{"damage after a good one", string(ok.Bytes()) + "\x09", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode([]byte(tt.ops))
			if !errors.Is(err, kv.ErrMalformed) || len(got) != tt.valid {
				t.Errorf("%d mutations, %v; want %d and ErrMalformed", len(got), err, tt.valid)
			}
		})
	}
}

func TestEveryTruncationInsideAMutationIsNoticed(t *testing.T) {
	var b kv.Batch
	b.DeleteRange([]byte("from"), []byte("to"))
	for n := 1; n < len(b.Bytes()); n++ {
		if got, err := decode(b.Bytes()[:n]); !errors.Is(err, kv.ErrMalformed) {
			t.Errorf("first %d bytes: %v, %v", n, got, err)
		}
	}
}

func TestMutationsCanBeLeftEarly(t *testing.T) {
	var b kv.Batch
	b.Delete([]byte("a"))
	b.Delete([]byte("b"))
	for range kv.Mutations(b.Bytes()) {
		break // must not be called again
	}
}

func TestAfter(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"a", "b"}, {"a\xff", "b"}, {"a\x00", "a\x01"}, {"ab\xff\xff", "ac"},
	} {
		if got := kv.After([]byte(tt.prefix)); string(got) != tt.want {
			t.Errorf("After(%q) = %q, want %q", tt.prefix, got, tt.want)
		}
	}
	for _, prefix := range []string{"", "\xff", "\xff\xff"} {
		if got := kv.After([]byte(prefix)); got != nil {
			t.Errorf("After(%q) = %q, want none", prefix, got)
		}
	}
}

// After must lie beyond every key of the prefix and not beyond any other that does.
func TestAfterBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0xfe, 0xff}), 0, 4)
		prefix, key := small.Draw(t, "prefix"), small.Draw(t, "key")
		before := bytes.Clone(prefix)
		end := kv.After(prefix)
		if !bytes.Equal(prefix, before) {
			t.Fatal("the prefix was changed")
		}
		inside := bytes.Compare(key, prefix) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
		if inside != bytes.HasPrefix(key, prefix) {
			t.Fatalf("prefix %q, end %q: key %q is taken for one of them: %v", prefix, end, key, inside)
		}
	})
}

func TestBatchRoundTrip(t *testing.T) {
	mutation := rapid.Custom(func(t *rapid.T) kv.Mutation {
		m := kv.Mutation{
			Op:  rapid.SampledFrom([]kv.Op{kv.Put, kv.Delete, kv.DeleteRange}).Draw(t, "op"),
			Key: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "key"),
		}
		if m.Op != kv.Delete {
			m.Value = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(mutation, 0, 20).Draw(t, "mutations")
		var b kv.Batch
		for _, m := range want {
			add(&b, m)
		}
		got, err := decode(b.Bytes())
		if err != nil || !slices.EqualFunc(got, want, same) {
			t.Fatalf("decoded %v, %v; want %v", got, err, want)
		}
	})
}

func FuzzMutations(f *testing.F) {
	var b kv.Batch
	b.Put([]byte("k"), []byte("v"))
	b.Delete([]byte("d"))
	b.DeleteRange([]byte("a"), []byte("b"))
	f.Add(b.Bytes())
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		all, err := decode(ops)
		if err != nil {
			if !errors.Is(err, kv.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		var again kv.Batch
		for _, m := range all {
			add(&again, m)
		}
		// Lengths may be written in more bytes than they need, so the bytes can
		// differ; what they say must not.
		back, err := decode(again.Bytes())
		if err != nil || !slices.EqualFunc(back, all, same) {
			t.Fatalf("%v became %v, %v", all, back, err)
		}
	})
}
