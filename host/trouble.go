package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// watchedStore tells a person when the store fails. The engine sends again until it
// succeeds, and while a disk is full or a bucket is out of reach nothing else would say
// why commits stand still.
type watchedStore struct {
	storage.Store
	reads, writes trouble
}

func watchStore(s storage.Store, log hclog.Logger) *watchedStore {
	return &watchedStore{Store: s, reads: trouble{what: "reads", log: log}, writes: trouble{what: "writes", log: log}}
}

// Get implements storage.Store.
func (s *watchedStore) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := s.Store.Get(ctx, key)
	s.reads.note(err)
	return b, tag, err
}

// Create implements storage.Store.
func (s *watchedStore) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	tag, err := s.Store.Create(ctx, key, body)
	s.writes.note(err)
	return tag, err
}

// Replace implements storage.Store.
func (s *watchedStore) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	tag, err := s.Store.Replace(ctx, key, old, body)
	s.writes.note(err)
	return tag, err
}

// problems says what fails now.
func (s *watchedStore) problems() []string {
	var list []string
	for _, t := range []*trouble{&s.reads, &s.writes} {
		if p := t.problem(); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// sayAgain is how often a failure that lasts is logged.
const sayAgain = 30 * time.Second

// trouble is whether one kind of request fails at present.
type trouble struct {
	what string
	log  hclog.Logger

	mu    sync.Mutex
	err   error // the last one; nil: all is well
	since time.Time
	said  time.Time
}

func (t *trouble) note(err error) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, storage.ErrExpired):
		return // the caller's wish, or its lease: they say nothing of the store
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrTooLarge):
		err = nil // an answer like any other
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case err != nil && t.err == nil:
		t.since = now
		fallthrough
	case err != nil:
		t.err = err
		if now.Sub(t.said) >= sayAgain {
			t.said = now
			t.log.Warn("the store fails; what it did not take is sent again until it does", "requests", t.what, "error", err)
		}
	case t.err != nil:
		t.err = nil
		// Failures come and go one by one on a busy store: only a pause is worth a line.
		if gone := now.Sub(t.since); gone >= time.Second {
			t.said = time.Time{}
			t.log.Info("the store works again", "requests", t.what, "elapsed", gone.Round(time.Millisecond))
		}
	}
}

func (t *trouble) problem() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		return ""
	}
	return fmt.Sprintf("store: %s fail since %s: %v", t.what, t.since.UTC().Format(time.RFC3339), t.err)
}
