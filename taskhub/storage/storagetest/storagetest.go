// Package storagetest is the conformance suite of storage.Store: one subtest for
// each clause of the contract. Every implementation and wrapper passes it, so that
// the engine's tests may use the in-memory store and mean all of them.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// timeout bounds one subtest, so that a store that hangs fails by name.
const timeout = 2 * time.Minute

// Run checks the stores that open returns. Each call of open must return an empty
// store (a fresh prefix of a shared bucket will do) that is usable until its t
// ends; the suite uses it from up to 32 goroutines.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, ctx context.Context, s storage.Store)
	}{
		{"CreateThenGet", createThenGet},
		{"CreateOfExistingConflicts", createOfExisting},
		{"CreateAfterDelete", createAfterDelete},
		{"CreateRaceHasOneWinner", createRace},
		{"ReplaceWithCurrentTag", replaceCurrent},
		{"ReplaceWithStaleTagConflicts", replaceStale},
		{"ReplaceOfMissingConflicts", replaceMissing},
		{"ReplaceWithoutTagConflicts", replaceEmptyTag},
		{"ReplaceRaceHasOneWinner", replaceRace},
		{"ReplaceCounts", replaceCounter},
		{"ReplaceAndDeleteRace", replaceDeleteRace},
		{"GetOfMissing", getMissing},
		{"DeleteOfMissing", deleteMissing},
		{"EmptyBody", emptyBody},
		{"LargeBody", largeBody},
		{"TooLargeBody", tooLargeBody},
		{"BodyIsNotKept", bodyNotKept},
		{"ReadsAreNeverTorn", tornReads},
		{"ReadAfterWrite", readAfterWrite},
		{"ListOrder", listOrder},
		{"ListPrefix", listPrefix},
		{"ListAfter", listAfter},
		{"ListPages", listPages},
		{"ListEntries", listEntries},
		{"ListStopsEarly", listStops},
		{"ListAfterPutAndDelete", listAfterPut},
		{"KeysOfEveryForm", keyForms},
		{"InvalidKeysAreRefused", invalidKeys},
		{"CancelledContext", cancelledContext},
		{"ExpiredDeadline", expiredDeadline},
		{"DeadlineToCome", deadlineToCome},
		{"ExpiredIsNoVerdict", deadlineRenewed},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			c.test(t, ctx, open(t))
		})
	}
}

func mustCreate(t *testing.T, ctx context.Context, s storage.Store, key, body string) storage.Tag {
	t.Helper()
	tag, err := s.Create(ctx, key, []byte(body))
	if err != nil {
		t.Fatalf("Create(%q): %v", key, err)
	}
	if tag == "" {
		t.Fatalf("Create(%q): empty tag", key)
	}
	return tag
}

func mustReplace(t *testing.T, ctx context.Context, s storage.Store, key string, old storage.Tag, body string) storage.Tag {
	t.Helper()
	tag, err := s.Replace(ctx, key, old, []byte(body))
	if err != nil {
		t.Fatalf("Replace(%q): %v", key, err)
	}
	if tag == "" {
		t.Fatalf("Replace(%q): empty tag", key)
	}
	return tag
}

func wantObject(t *testing.T, ctx context.Context, s storage.Store, key, body string, tag storage.Tag) {
	t.Helper()
	got, gotTag, err := s.Get(ctx, key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	if string(got) != body {
		t.Fatalf("Get(%q): %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(body), body)
	}
	if gotTag != tag {
		t.Fatalf("Get(%q): tag %q, the write returned %q", key, gotTag, tag)
	}
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// keysOf lists to the end and fails on an error.
func keysOf(t *testing.T, ctx context.Context, s storage.Store, prefix, after string) []string {
	t.Helper()
	var keys []string
	for e, err := range s.List(ctx, prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

// createAll creates keys with 16 writers, the key as body.
func createAll(t *testing.T, ctx context.Context, s storage.Store, keys []string) {
	t.Helper()
	work := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range work {
				if _, err := s.Create(ctx, key, []byte(key)); err != nil {
					t.Errorf("Create(%q): %v", key, err)
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// race starts n calls of f at the same moment, waits for all, and returns their
// errors by index.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// onlyWinner returns the index of the one nil error; all others must be conflicts.
func onlyWinner(t *testing.T, errs []error) int {
	t.Helper()
	var winners []int
	for i, err := range errs {
		switch {
		case err == nil:
			winners = append(winners, i)
		case !errors.Is(err, storage.ErrConflict):
			t.Fatalf("racer %d: got error %v, want nil or ErrConflict", i, err)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d of %d racers won %v, want exactly one", len(winners), len(errs), winners)
	}
	return winners[0]
}

// pattern is a body of n bytes that differs from every other round's in each byte.
func pattern(round, n int) string {
	return strings.Repeat(string(rune('A'+round%26)), n)
}

func numbered(format string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(format, i)
	}
	return keys
}
