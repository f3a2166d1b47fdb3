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

// monitoredStore tells a person when the store fails. The engine sends again until it
// succeeds, and while a disk is full or a bucket is out of reach nothing else would say
// why commits stand still.
type monitoredStore struct {
	storage.Store
	reads, writes storeHealth
}

func monitorStore(s storage.Store, log hclog.Logger) *monitoredStore {
	return &monitoredStore{Store: s, reads: storeHealth{what: "reads", log: log}, writes: storeHealth{what: "writes", log: log}}
}

// Get implements storage.Store.
func (s *monitoredStore) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := s.Store.Get(ctx, key)
	s.reads.note(err)
	return b, tag, err
}

// Create implements storage.Store.
func (s *monitoredStore) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	tag, err := s.Store.Create(ctx, key, body)
	s.writes.note(err)
	return tag, err
}

// Replace implements storage.Store.
func (s *monitoredStore) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	tag, err := s.Store.Replace(ctx, key, old, body)
	s.writes.note(err)
	return tag, err
}

// problems says what fails now.
func (s *monitoredStore) problems() []string {
	var list []string
	for _, t := range []*storeHealth{&s.reads, &s.writes} {
		if p := t.problem(); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// sayAgain is how often a failure that lasts is logged.
const sayAgain = 30 * time.Second

// storeHealth is whether one kind of request fails at present.
type storeHealth struct {
	what string
	log  hclog.Logger

	mu    sync.Mutex
	err   error // the last one; nil: all is well
	since time.Time
	said  time.Time
}

func (h *storeHealth) note(err error) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, storage.ErrExpired):
		return // the caller's wish, or its lease: they say nothing of the store
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrTooLarge):
		err = nil // an answer like any other
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case err != nil && h.err == nil:
		h.since = now
		fallthrough
	case err != nil:
		h.err = err
		if now.Sub(h.said) >= sayAgain {
			h.said = now
			h.log.Warn("the store fails; what it did not take is sent again until it does", "requests", h.what, "error", err)
		}
	case h.err != nil:
		h.err = nil
		// Failures come and go one by one on a busy store: only a pause is worth a line.
		if gone := now.Sub(h.since); gone >= time.Second {
			h.said = time.Time{}
			h.log.Info("the store works again", "requests", h.what, "elapsed", gone.Round(time.Millisecond))
		}
	}
}

func (h *storeHealth) problem() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		return ""
	}
	return fmt.Sprintf("store: %s fail since %s: %v", h.what, h.since.UTC().Format(time.RFC3339), h.err)
}
