package file_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

// numbered stores objects whose names have at most seven bytes under numbers, so that the
// suite runs on journals.
type numbered struct{ storage.Store }

func toNumber(key string) string {
	dir, name := path.Split(key)
	if len(name) == 0 || len(name) > 7 || storage.CheckKey(key) != nil {
		return key
	}
	b := [8]byte{1} // tells them from numbers that the suite uses itself
	copy(b[1:], name)
	return fmt.Sprintf("%s%020d", dir, binary.BigEndian.Uint64(b[:]))
}

func fromNumber(key string) string {
	dir, name := path.Split(key)
	n, err := strconv.ParseUint(name, 10, 64)
	if err != nil || len(name) != 20 || n>>56 != 1 {
		return key
	}
	return dir + strings.TrimRight(string(binary.BigEndian.AppendUint64(nil, n)[1:]), "\x00")
}

func (s numbered) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	return s.Store.Get(ctx, toNumber(key))
}

func (s numbered) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return s.Store.Create(ctx, toNumber(key), body)
}

func (s numbered) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return s.Store.Replace(ctx, toNumber(key), old, body)
}

func (s numbered) Delete(ctx context.Context, key string) error {
	return s.Store.Delete(ctx, toNumber(key))
}

func (s numbered) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		var entries []storage.Entry
		for e, err := range s.Store.List(ctx, "", "") {
			if err != nil {
				yield(e, err)
				return
			}
			if e.Key = fromNumber(e.Key); strings.HasPrefix(e.Key, prefix) && e.Key > after {
				entries = append(entries, e)
			}
		}
		slices.SortFunc(entries, func(a, b storage.Entry) int { return strings.Compare(a.Key, b.Key) })
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestStoreOfNumbers(t *testing.T) {
	notUnderRace(t)
	storagetest.Run(t, func(t *testing.T) storage.Store { return numbered{open(t, t.TempDir())} })
}

func TestSeveralHandlesOfNumbers(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		dir := t.TempDir()
		return numbered{&spread{stores: []storage.Store{open(t, dir), open(t, dir), open(t, dir)}}}
	})
}

// TestNumbersAreInAJournal: otherwise the suites above show nothing.
func TestNumbersAreInAJournal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("journals are for Linux")
	}
	s := open(t, t.TempDir())
	for n := range 3 {
		if _, err := s.Create(t.Context(), fmt.Sprintf("log/%020d", n), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, s, "log"); !slices.Equal(got, []string{"~00000000000000000001"}) {
		t.Errorf("on disk: %q", got)
	}
	want := []string{"log/00000000000000000001", "log/00000000000000000002"}
	var got []string
	for e, err := range s.List(t.Context(), "log/", "log/00000000000000000000") {
		if err != nil || e.Size != 1 || e.Modified.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
		got = append(got, e.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
}

// TestPlainNumbersStay: a hub that an older version made goes on as it is.
func TestPlainNumbersStay(t *testing.T) {
	s := open(t, t.TempDir())
	s.WritePlain(t, "log/00000000000000000001", []byte("one"))
	if body, _, err := s.Get(t.Context(), "log/00000000000000000001"); string(body) != "one" {
		t.Fatalf("Get: %q, %v", body, err)
	}
	if _, err := s.Create(t.Context(), "log/00000000000000000002", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if got := files(t, s, "log"); runtime.GOOS == "linux" && !slices.Equal(got, []string{
		"00000000000000000001", "00000000000000000002", "~00000000000000000001",
	}) {
		t.Errorf("on disk: %q", got)
	}
	if got := keys(t, s); len(got) != 2 {
		t.Errorf("listed %q", got)
	}
}

// TestManyFolders: more journals than are kept open, and a log that is written all the time.
func TestManyFolders(t *testing.T) {
	s := open(t, t.TempDir())
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Create(t.Context(), fmt.Sprintf("busy/%020d", n), []byte("x")); err != nil {
				t.Errorf("record %d of the busy log: %v", n, err)
				return
			}
		}
	})
	const folders = 400
	key := func(n int) string { return fmt.Sprintf("idle/%d/%020d", n, 1) }
	for n := range folders {
		if _, err := s.Create(t.Context(), key(n), []byte(key(n))); err != nil {
			t.Errorf("%s: %v", key(n), err)
		}
	}
	for n := range folders {
		if b, _, err := s.Get(t.Context(), key(n)); err != nil || string(b) != key(n) {
			t.Errorf("%s is %q, %v", key(n), b, err)
		}
	}
	close(stop)
	writer.Wait()
}
