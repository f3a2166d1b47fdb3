package memory_test

import (
	"errors"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return memory.New() })
}

func TestKeyThatIsFolderOfAnotherIsRefused(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	for _, key := range []string{"a/b/c", "d"} {
		if _, err := s.Create(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "a/b", "d/e"} {
		if _, err := s.Create(ctx, key, nil); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("Create(%q) = %v, want ErrInvalidKey", key, err)
		}
	}
	if _, err := s.Create(ctx, "a/b-c", nil); err != nil {
		t.Errorf("a sibling that shares a prefix was refused: %v", err)
	}
}

func TestModifiedComesFromTheClock(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	s := memory.NewWithClock(func() time.Time { return at })
	if _, err := s.Create(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil || !e.Modified.Equal(at) {
			t.Errorf("entry %+v, %v; want Modified %v", e, err, at)
		}
	}
}
