// Package prefixed roots a store at a prefix, so that several hubs share a bucket and
// none sees another's keys.
package prefixed

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// New returns the part of inner whose keys begin with prefix and a '/'.
func New(inner storage.Store, prefix string) storage.Store {
	return &store{inner: inner, prefix: prefix + "/"}
}

type store struct {
	inner  storage.Store
	prefix string
}

// String names the inner store, for messages about it.
func (s *store) String() string {
	if named, ok := s.inner.(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprintf("%T", s.inner)
}

// Unwrap returns the inner store.
func (s *store) Unwrap() storage.Store { return s.inner }

// Key is the inner store's key of key.
func (s *store) Key(key string) string { return s.prefix + key }

func (s *store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	return s.inner.Get(ctx, s.prefix+key)
}

func (s *store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return s.inner.Create(ctx, s.prefix+key, body)
}

func (s *store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return s.inner.Replace(ctx, s.prefix+key, old, body)
}

func (s *store) Delete(ctx context.Context, key string) error {
	return s.inner.Delete(ctx, s.prefix+key)
}

func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	if after != "" {
		after = s.prefix + after
	}
	return func(yield func(storage.Entry, error) bool) {
		for e, err := range s.inner.List(ctx, s.prefix+prefix, after) {
			e.Key = strings.TrimPrefix(e.Key, s.prefix)
			if !yield(e, err) {
				return
			}
		}
	}
}
