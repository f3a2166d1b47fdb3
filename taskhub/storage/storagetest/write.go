package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// racers and rounds: versitygw before 1.8 let 2 to 32 of 32 racers win while every
// sequential test passed, so the races are the heart of the suite.
const (
	racers = 32
	rounds = 5
)

func createThenGet(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "a/b", "hello")
	wantObject(t, ctx, s, "a/b", "hello", tag)
}

func createOfExisting(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "a", "first")
	for _, body := range []string{"second", "first"} {
		_, err := s.Create(ctx, "a", []byte(body))
		wantIs(t, "Create of an existing key", err, storage.ErrConflict)
	}
	wantObject(t, ctx, s, "a", "first", tag)
}

func createAfterDelete(t *testing.T, ctx context.Context, s storage.Store) {
	mustCreate(t, ctx, s, "a", "first")
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	tag := mustCreate(t, ctx, s, "a", "second")
	wantObject(t, ctx, s, "a", "second", tag)
}

func createRace(t *testing.T, ctx context.Context, s storage.Store) {
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		tags := make([]storage.Tag, racers)
		win := onlyWinner(t, race(racers, func(i int) (err error) {
			tags[i], err = s.Create(ctx, key, []byte(strconv.Itoa(i)))
			return err
		}))
		wantObject(t, ctx, s, key, strconv.Itoa(win), tags[win])
	}
}

func replaceCurrent(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "a", "0")
	for i := 1; i <= 5; i++ {
		next := mustReplace(t, ctx, s, "a", tag, strconv.Itoa(i))
		if next == tag {
			t.Fatalf("the tag did not change with the content: %q", tag)
		}
		tag = next
		wantObject(t, ctx, s, "a", strconv.Itoa(i), tag)
	}
}

func replaceStale(t *testing.T, ctx context.Context, s storage.Store) {
	first := mustCreate(t, ctx, s, "a", "A")
	second := mustReplace(t, ctx, s, "a", first, "D")
	_, err := s.Replace(ctx, "a", first, []byte("X"))
	wantIs(t, "Replace with the tag before", err, storage.ErrConflict)
	wantObject(t, ctx, s, "a", "D", second)

	// Back to the first content: its own tag may be good again (content hashes
	// are), but that of the different content in between must not be.
	third := mustReplace(t, ctx, s, "a", second, "A")
	_, err = s.Replace(ctx, "a", second, []byte("X"))
	wantIs(t, "Replace with the tag of other content", err, storage.ErrConflict)
	wantObject(t, ctx, s, "a", "A", third)

	other := mustCreate(t, ctx, s, "b", "B")
	_, err = s.Replace(ctx, "a", other, []byte("X"))
	wantIs(t, "Replace with another key's tag", err, storage.ErrConflict)
}

func replaceMissing(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "dir/a", "A")
	for _, key := range []string{"dir/missing", "no-such-dir/missing"} {
		_, err := s.Replace(ctx, key, tag, []byte("X"))
		wantIs(t, "Replace of "+key, err, storage.ErrConflict)
		_, _, err = s.Get(ctx, key)
		wantIs(t, "Get after a refused Replace of "+key, err, storage.ErrNotFound)
	}
	if err := s.Delete(ctx, "dir/a"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Replace(ctx, "dir/a", tag, []byte("X"))
	wantIs(t, "Replace of a deleted key", err, storage.ErrConflict)
}

func replaceEmptyTag(t *testing.T, ctx context.Context, s storage.Store) {
	_, err := s.Replace(ctx, "a", "", []byte("X"))
	wantIs(t, "Replace of a missing key without a tag", err, storage.ErrConflict)
	tag := mustCreate(t, ctx, s, "a", "A")
	_, err = s.Replace(ctx, "a", "", []byte("X"))
	wantIs(t, "Replace of a key without a tag", err, storage.ErrConflict)
	wantObject(t, ctx, s, "a", "A", tag)
}

func replaceRace(t *testing.T, ctx context.Context, s storage.Store) {
	tag := mustCreate(t, ctx, s, "race", "start")
	for round := range rounds {
		tags := make([]storage.Tag, racers)
		body := func(i int) string { return fmt.Sprintf("%d by %d", round, i) }
		win := onlyWinner(t, race(racers, func(i int) (err error) {
			tags[i], err = s.Replace(ctx, "race", tag, []byte(body(i)))
			return err
		}))
		tag = tags[win]
		wantObject(t, ctx, s, "race", body(win), tag)
	}
}

func replaceCounter(t *testing.T, ctx context.Context, s storage.Store) {
	const writers, each = 16, 10
	mustCreate(t, ctx, s, "counter", "0 start")
	errs := race(writers, func(i int) error {
		for n := range each {
			for {
				body, tag, err := s.Get(ctx, "counter")
				if err != nil {
					return err
				}
				var count int
				if _, err := fmt.Sscan(string(body), &count); err != nil {
					return fmt.Errorf("counter holds %q: %w", body, err)
				}
				// The writer and its turn are the nonce: no content comes back.
				next := fmt.Sprintf("%d %d-%d", count+1, i, n)
				if _, err = s.Replace(ctx, "counter", tag, []byte(next)); err == nil {
					break
				}
				if !errors.Is(err, storage.ErrConflict) {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	body, _, err := s.Get(ctx, "counter")
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if _, err := fmt.Sscan(string(body), &count); err != nil || count != writers*each {
		t.Fatalf("counter is %d after %d increments: updates were lost", count, writers*each)
	}
}

// replaceDeleteRace: whatever the order, the object is gone after both ended. A
// Replace that looks, waits and writes would bring a deleted object back.
func replaceDeleteRace(t *testing.T, ctx context.Context, s storage.Store) {
	for round := range 20 {
		key := fmt.Sprintf("k%d", round)
		tag := mustCreate(t, ctx, s, key, "A")
		errs := race(2, func(i int) error {
			if i == 0 {
				return s.Delete(ctx, key)
			}
			_, err := s.Replace(ctx, key, tag, []byte("B"))
			if errors.Is(err, storage.ErrConflict) {
				return nil
			}
			return err
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Get(ctx, key)
		wantIs(t, "Get after Delete beside Replace", err, storage.ErrNotFound)
	}
}

func deleteMissing(t *testing.T, ctx context.Context, s storage.Store) {
	mustCreate(t, ctx, s, "dir/a", "A")
	for _, key := range []string{"dir/missing", "no/such/dir", "dir/a", "dir/a", "dir"} {
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	_, _, err := s.Get(ctx, "dir/a")
	wantIs(t, "Get after Delete", err, storage.ErrNotFound)
	mustCreate(t, ctx, s, "dir/b", "B")
}

func bodyNotKept(t *testing.T, ctx context.Context, s storage.Store) {
	body := []byte("AAAA")
	tag, err := s.Create(ctx, "a", body)
	if err != nil {
		t.Fatal(err)
	}
	copy(body, "BBBB")
	wantObject(t, ctx, s, "a", "AAAA", tag)
	copy(body, "CCCC")
	if tag, err = s.Replace(ctx, "a", tag, body); err != nil {
		t.Fatal(err)
	}
	copy(body, "DDDD")
	wantObject(t, ctx, s, "a", "CCCC", tag)

	got, _, err := s.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "EEEE") // the reader owns what it got
	wantObject(t, ctx, s, "a", "CCCC", tag)
}

// tornReads reads an object of 256 KiB while it is replaced: every read must be
// one whole version.
func tornReads(t *testing.T, ctx context.Context, s storage.Store) {
	const size, versions = 256 << 10, 30
	tag := mustCreate(t, ctx, s, "big", pattern(0, size))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				body, _, err := s.Get(ctx, "big")
				if err != nil {
					t.Errorf("Get while replacing: %v", err)
					return
				}
				if len(body) != size || string(body) != pattern(int(body[0]-'A'), size) {
					t.Errorf("torn read: %d bytes", len(body))
					return
				}
			}
		})
	}
	for v := 1; v <= versions; v++ {
		tag = mustReplace(t, ctx, s, "big", tag, pattern(v, size))
	}
	close(done)
	wg.Wait()
}

func emptyBody(t *testing.T, ctx context.Context, s storage.Store) {
	tag, err := s.Create(ctx, "empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantObject(t, ctx, s, "empty", "", tag)
	tag = mustReplace(t, ctx, s, "empty", tag, "full")
	tag = mustReplace(t, ctx, s, "empty", tag, "")
	wantObject(t, ctx, s, "empty", "", tag)
}

func largeBody(t *testing.T, ctx context.Context, s storage.Store) {
	body := make([]byte, 4<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(body)
	tag := mustCreate(t, ctx, s, "large", string(body))
	wantObject(t, ctx, s, "large", string(body), tag)
	_, _ = rng.Read(body)
	tag = mustReplace(t, ctx, s, "large", tag, string(body))
	wantObject(t, ctx, s, "large", string(body), tag)
}

func tooLargeBody(t *testing.T, ctx context.Context, s storage.Store) {
	body := make([]byte, storage.MaxObject+1)
	_, err := s.Create(ctx, "a", body)
	wantIs(t, "Create of more than MaxObject", err, storage.ErrTooLarge)
	tag := mustCreate(t, ctx, s, "a", "A")
	_, err = s.Replace(ctx, "a", tag, body)
	wantIs(t, "Replace by more than MaxObject", err, storage.ErrTooLarge)
	wantObject(t, ctx, s, "a", "A", tag)
}
