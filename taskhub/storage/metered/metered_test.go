package metered_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/metered"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return metered.New(memory.New()) })
}

// slow takes a while for a GET, so that a coarse clock sees that time passes.
type slow struct{ *memory.Store }

const least = 2 * time.Millisecond

func (s slow) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	time.Sleep(least)
	return s.Store.Get(ctx, key)
}

func TestCounts(t *testing.T) {
	ctx, s := t.Context(), metered.New(slow{memory.New()})
	tag, err := s.Create(ctx, "k", make([]byte, 10))
	if err != nil {
		t.Fatal(err)
	}
	s.Create(ctx, "k", make([]byte, 5))
	s.Replace(ctx, "k", tag, make([]byte, 7))
	s.Replace(ctx, "k", tag, nil)
	s.Get(ctx, "k")
	s.Get(ctx, "absent")
	s.Get(ctx, "../bad")
	s.Delete(ctx, "k")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	s.Delete(gone, "k")

	type row struct{ requests, bytes, refused, errors int64 }
	c := s.Counts()
	for _, tt := range []struct {
		name string
		got  metered.Verb
		want row
	}{
		{"get", c.Get, row{3, 7, 1, 1}},
		{"create", c.Create, row{2, 15, 1, 0}},
		{"replace", c.Replace, row{2, 7, 1, 0}},
		{"delete", c.Delete, row{2, 0, 0, 1}},
		{"list", c.List, row{}},
	} {
		if got := (row{tt.got.Requests, tt.got.Bytes, tt.got.Refused, tt.got.Errors}); got != tt.want {
			t.Errorf("%s: requests, bytes, refused, errors = %v, want %v", tt.name, got, tt.want)
		}
		if v := tt.got; v.Min > v.Mean() || v.Mean() > v.Max || v.Requests == 0 && v.Max > 0 {
			t.Errorf("%s: min %v, mean %v, max %v", tt.name, v.Min, v.Mean(), v.Max)
		}
	}
	if c.Get.Min < least {
		t.Errorf("a get took %v, want %v at least", c.Get.Min, least)
	}
	if c.Requests() != 9 || c.Puts() != 4 {
		t.Errorf("requests %d, puts %d; want 9 and 4", c.Requests(), c.Puts())
	}
	s.Reset()
	if got := s.Counts(); got != (metered.Counts{}) {
		t.Errorf("after Reset: %+v", got)
	}
}

func TestListCountsPages(t *testing.T) {
	ctx, inner := t.Context(), memory.New()
	s := metered.New(inner)
	pages := func() int64 {
		s.Reset()
		for _, err := range s.List(ctx, "", "") {
			if err != nil {
				t.Fatal(err)
			}
		}
		return s.Counts().List.Requests
	}
	if got := pages(); got != 1 {
		t.Errorf("empty listing: %d pages, want 1", got)
	}
	for i := range 2001 {
		if _, err := inner.Create(ctx, fmt.Sprintf("k%05d", i), nil); err != nil {
			t.Fatal(err)
		}
		if n := i + 1; n == 1000 || n == 1001 || n == 2001 {
			if got, want := pages(), int64((n+999)/1000); got != want {
				t.Errorf("%d entries: %d pages, want %d", n, got, want)
			}
		}
	}
}

func TestCountsAreExactUnderConcurrency(t *testing.T) {
	ctx, s := t.Context(), metered.New(memory.New())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				s.Create(ctx, fmt.Sprintf("%d/%d", w, i), []byte("abc"))
			}
		})
	}
	wg.Wait()
	if c := s.Counts().Create; c.Requests != 1600 || c.Bytes != 4800 || c.Refused+c.Errors != 0 {
		t.Errorf("%+v", c)
	}
}

func BenchmarkGet(b *testing.B) {
	s := metered.New(memory.New())
	ctx := context.Background()
	s.Create(ctx, "k", nil)
	for b.Loop() {
		s.Get(ctx, "k")
	}
}
