package prefixed_test

import (
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/prefixed"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return prefixed.New(memory.New(), "hub") })
}

func TestHubsDoNotSeeEachOther(t *testing.T) {
	shared := memory.New()
	a, ab := prefixed.New(shared, "a"), prefixed.New(shared, "ab")
	if _, err := ab.Create(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for e, err := range a.List(t.Context(), "", "") {
		t.Errorf("hub a lists %q, %v", e.Key, err)
	}
}
