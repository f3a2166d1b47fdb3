package file_test

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// spread sends each request to the next of several stores.
type spread struct {
	stores []storage.Store
	turn   atomic.Uint64
}

func (s *spread) next() storage.Store {
	return s.stores[s.turn.Add(1)%uint64(len(s.stores))]
}

func (s *spread) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	return s.next().Get(ctx, key)
}

func (s *spread) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return s.next().Create(ctx, key, body)
}

func (s *spread) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return s.next().Replace(ctx, key, old, body)
}

func (s *spread) Delete(ctx context.Context, key string) error { return s.next().Delete(ctx, key) }

func (s *spread) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return s.next().List(ctx, prefix, after)
}
