package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

func TestUntil(t *testing.T) {
	now := time.Now()
	if _, ok := storage.Deadline(t.Context()); ok || storage.CheckDeadline(t.Context(), now) != nil {
		t.Error("a context has a deadline that nobody gave")
	}
	ctx := storage.Until(t.Context(), now.Add(time.Second))
	inside, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
	defer cancel()
	for name, c := range map[string]context.Context{"itself": ctx, "derived": inside} {
		at, ok := storage.Deadline(c)
		if !ok || !at.Equal(now.Add(time.Second)) {
			t.Errorf("%s: got %v, %v", name, at, ok)
		}
		if at != at.Round(0) {
			t.Errorf("%s: a monotonic reading would stand still while the machine sleeps", name)
		}
		if err := storage.CheckDeadline(c, now); err != nil {
			t.Errorf("%s, in time: %v", name, err)
		}
		if err := storage.CheckDeadline(c, now.Add(time.Second)); !errors.Is(err, storage.ErrExpired) {
			t.Errorf("%s, at the moment itself: %v", name, err)
		}
	}
	if at, _ := storage.Deadline(storage.Until(ctx, now)); !at.Equal(now) {
		t.Errorf("the last moment given must count, got %v", at)
	}
	if _, ok := ctx.Deadline(); ok {
		t.Error("Until ends the wait for an answer")
	}
	// A child must hang on its parent directly: a goroutine each would cost every commit.
	parent, stop := context.WithCancel(t.Context())
	child, cancelChild := context.WithCancel(storage.Until(parent, now))
	defer cancelChild()
	stop()
	if child.Err() == nil {
		t.Error("a context below Until does not end with its parent at once")
	}
}
