package checkpoint_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// everyOpener runs one clause of the contract on each implementation.
func everyOpener(t *testing.T, clause func(t *testing.T, o checkpoint.Opener)) {
	t.Run("memory", func(t *testing.T) { clause(t, checkpoint.Memory{}) })
	t.Run("pebble", func(t *testing.T) { clause(t, pebbleIn(t, t.TempDir())) })
}

func pebbleIn(t *testing.T, dir string) *checkpoint.Pebble {
	t.Helper()
	p, err := checkpoint.NewPebble(dir+"/state", 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// restore opens a state that files hold; none makes an empty one.
func restore(o checkpoint.Opener, name string, files map[string][]byte) (checkpoint.DB, error) {
	b, err := o.Begin(name)
	if err != nil {
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := b.Add(file, files[file]); err != nil {
			return nil, err
		}
	}
	return b.Open()
}

func open(t *testing.T, o checkpoint.Opener, name string, files map[string][]byte) checkpoint.DB {
	t.Helper()
	db, err := restore(o, name, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// at is the position after the n-th record.
func at(n uint64) checkpoint.Position {
	return checkpoint.Position{Seq: n, Epoch: 1 + n/10, Digest: sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))}
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// puts is a batch of key, value, key, value.
func puts(pairs ...string) []byte {
	var b kv.Batch
	for n := 0; n < len(pairs); n += 2 {
		b.Put([]byte(pairs[n]), []byte(pairs[n+1]))
	}
	return b.Bytes()
}

func apply(t testing.TB, db checkpoint.DB, n uint64, ops []byte) {
	t.Helper()
	if err := db.Apply(ops, at(n)); err != nil {
		t.Fatal(err)
	}
}

// dump is everything in a state but its position.
func dump(t testing.TB, r kv.Reader) map[string]string {
	t.Helper()
	all := map[string]string{}
	for e, err := range r.Scan([]byte{1}, []byte{0xff}) {
		if err != nil {
			t.Fatal(err)
		}
		all[string(e.Key)] = string(e.Value)
	}
	return all
}

// files reads a frozen state to the end.
func files(t testing.TB, db checkpoint.DB) (map[string][]byte, checkpoint.Position) {
	t.Helper()
	f, err := db.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	all := map[string][]byte{}
	for _, file := range f.Files {
		b, err := file.Read()
		if err != nil {
			t.Fatal(err)
		}
		all[file.Name] = bytes.Clone(b)
	}
	return all, f.At
}

func TestEmptyState(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		if got := db.Position(); got != (checkpoint.Position{}) {
			t.Errorf("position %+v", got)
		}
		if v, err := db.Get([]byte("k")); v != nil || err != nil {
			t.Errorf("Get: %q, %v", v, err)
		}
		if all := dump(t, db); len(all) > 0 {
			t.Errorf("holds %v", all)
		}
	})
}

func TestApplyAndRead(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		apply(t, db, 1, puts("b", "1", "a", "2", "c", "", "d", "3", "b", "later wins"))
		var b kv.Batch
		b.Delete([]byte("d"))
		b.Delete([]byte("never there"))
		b.Put([]byte("e"), []byte("5"))
		apply(t, db, 2, b.Bytes())
		if v, err := db.Get([]byte("b")); string(v) != "later wins" || err != nil {
			t.Errorf("Get b: %q, %v", v, err)
		}
		if v, err := db.Get([]byte("c")); v == nil || len(v) != 0 || err != nil {
			t.Errorf("an empty value must differ from none: %v, %v", v, err)
		}
		if v, err := db.Get([]byte("d")); v != nil || err != nil {
			t.Errorf("Get of a deleted key: %q, %v", v, err)
		}
		if got := db.Position(); got != at(2) {
			t.Errorf("position %+v, want that of record 2", got)
		}
		var keys []string
		for e, err := range db.Scan([]byte("b"), []byte("e")) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, string(e.Key))
		}
		if !slices.Equal(keys, []string{"b", "c"}) {
			t.Errorf("Scan [b, e): %v", keys)
		}
		for range db.Scan([]byte("a"), []byte("z")) {
			break // must not be called again
		}
	})
}

func TestDeleteRange(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		apply(t, db, 1, puts("a", "1", "b", "1", "b\x00", "1", "bz", "1", "c", "1"))
		var b kv.Batch
		b.DeleteRange([]byte("b"), []byte("c"))
		b.Put([]byte("b1"), []byte("put afterwards"))
		b.DeleteRange([]byte("x"), []byte("x")) // empty
		apply(t, db, 2, b.Bytes())
		want := map[string]string{"a": "1", "b1": "put afterwards", "c": "1"}
		if got := dump(t, db); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestPositionMovesWithoutMutations(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		apply(t, db, 5, nil)
		fs, _ := files(t, db)
		if got := open(t, o, "b", fs).Position(); got != at(5) {
			t.Errorf("restored position %+v", got)
		}
	})
}

func TestMalformedBatchChangesNothing(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		apply(t, db, 1, puts("a", "1"))
		bad := append(puts("a", "2", "b", "2"), 0xff)
		if err := db.Apply(bad, at(2)); !errors.Is(err, kv.ErrMalformed) {
			t.Errorf("got %v", err)
		}
		if got := dump(t, db); !maps.Equal(got, map[string]string{"a": "1"}) || db.Position() != at(1) {
			t.Errorf("state %v at %d: half a batch was applied", got, db.Position().Seq)
		}
	})
}

func TestValuesOutliveLaterChanges(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		ops := puts("k", "first")
		apply(t, db, 1, ops)
		v, err := db.Get([]byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		for n := range ops {
			ops[n] = 'x' // the batch is the caller's again
		}
		apply(t, db, 2, puts("k", "other"))
		if string(v) != "first" {
			t.Errorf("value read before became %q", v)
		}
	})
}

func TestFreezeAndRestore(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		for n := uint64(1); n <= 200; n++ {
			apply(t, db, n, puts(fmt.Sprintf("k%03d", n%70), fmt.Sprint("v", n)))
		}
		want := dump(t, db)
		fs, frozen := files(t, db)
		apply(t, db, 201, puts("later", "x"))
		r := open(t, o, "b", fs)
		if frozen != at(200) || r.Position() != at(200) {
			t.Errorf("frozen at %d, restored at %d", frozen.Seq, r.Position().Seq)
		}
		if got := dump(t, r); !maps.Equal(got, want) {
			t.Errorf("restored %d keys, want %d", len(got), len(want))
		}
		// A restored state goes on by itself.
		apply(t, r, 201, puts("mine", "y"))
		if got := dump(t, db); got["mine"] != "" || got["later"] != "x" {
			t.Error("two states share what they wrote")
		}
	})
}

// A state taken while commits go on is the log up to some record, at least that which
// was applied before; replaying what it holds already changes nothing.
func TestFreezeBesideApply(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		const records = 600
		batch := func(n uint64) []byte {
			var b kv.Batch
			b.Put(fmt.Appendf(nil, "new%04d", n), []byte("1"))
			b.Put([]byte("counter"), fmt.Append(nil, n))
			b.Put(fmt.Appendf(nil, "slot%d", n%7), fmt.Append(nil, n))
			if n%50 == 0 {
				b.DeleteRange([]byte("new"), fmt.Appendf(nil, "new%04d", n-20))
			}
			return b.Bytes()
		}
		db, model := open(t, o, "a", nil), open(t, checkpoint.Memory{}, "model", nil)
		prefix := make([]map[string]string, records+1)
		prefix[0] = map[string]string{}
		for n := uint64(1); n <= records; n++ {
			apply(t, model, n, batch(n))
			prefix[n] = dump(t, model)
		}
		failed := make(chan error, 1)
		go func() {
			defer close(failed)
			for n := uint64(1); n <= records; n++ {
				if err := db.Apply(batch(n), at(n)); err != nil {
					failed <- err
					return
				}
			}
		}()
		for round, done := 0, false; !done; round++ {
			before := db.Position().Seq
			fs, frozen := files(t, db)
			if frozen.Seq < before {
				t.Fatalf("frozen at %d, but %d was applied before", frozen.Seq, before)
			}
			r := open(t, o, fmt.Sprint("r", round), fs)
			is := r.Position().Seq
			if is < frozen.Seq || !maps.Equal(dump(t, r), prefix[is]) {
				t.Fatalf("frozen at %d, restored at %d: not the log up to there", frozen.Seq, is)
			}
			for n := frozen.Seq + 1; n <= records; n++ {
				apply(t, r, n, batch(n)) // those from frozen to is are in it already
			}
			if !maps.Equal(dump(t, r), prefix[records]) || r.Position() != at(records) {
				t.Fatalf("frozen at %d: replaying the log on it gives another state", frozen.Seq)
			}
			done = before == records
			select {
			case err := <-failed:
				if err != nil {
					t.Fatal(err)
				}
			default:
			}
		}
	})
}

// Both implementations are the same map.
func TestPebbleAgreesWithMemory(t *testing.T) {
	p := pebbleIn(t, t.TempDir())
	round := 0
	key := rapid.Custom(func(t *rapid.T) []byte {
		return []byte(rapid.StringMatching(`[a-c]{1,3}`).Draw(t, "key"))
	})
	rapid.Check(t, func(rt *rapid.T) {
		round++
		a, err := restore(p, fmt.Sprint("s", round), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = a.Close() }()
		b, err := restore(checkpoint.Memory{}, "", nil)
		if err != nil {
			rt.Fatal(err)
		}
		for n := uint64(1); n <= uint64(rapid.IntRange(1, 8).Draw(rt, "records")); n++ {
			var ops kv.Batch
			for range rapid.IntRange(0, 6).Draw(rt, "mutations") {
				switch rapid.IntRange(0, 3).Draw(rt, "kind") {
				case 0:
					ops.Delete(key.Draw(rt, "key"))
				case 1:
					if lo, hi := key.Draw(rt, "lo"), key.Draw(rt, "hi"); bytes.Compare(lo, hi) <= 0 {
						ops.DeleteRange(lo, hi)
					}
				default:
					ops.Put(key.Draw(rt, "key"), fmt.Append(nil, n))
				}
			}
			apply(t, a, n, ops.Bytes())
			apply(t, b, n, ops.Bytes())
		}
		if got, want := dump(t, a), dump(t, b); !maps.Equal(got, want) || a.Position() != b.Position() {
			rt.Fatalf("pebble holds %v, memory %v", got, want)
		}
	})
}

func TestDamagedFilesAreErrors(t *testing.T) {
	everyOpener(t, func(t *testing.T, o checkpoint.Opener) {
		db := open(t, o, "a", nil)
		apply(t, db, 1, puts("k", "v"))
		fs, _ := files(t, db)
		for name, body := range fs {
			if len(body) == 0 {
				continue
			}
			cut := maps.Clone(fs)
			cut[name] = body[:len(body)/2]
			r, err := restore(o, "b", cut)
			if err != nil {
				continue
			}
			// What cannot be told apart from a shorter state must say so by its position,
			// or when it is read.
			_, err = r.Get([]byte("k"))
			if err == nil && r.Position() == at(1) && dump(t, r)["k"] != "v" {
				t.Errorf("half of %s passes for the whole state", name)
			}
			_ = r.Close()
		}
	})
}
