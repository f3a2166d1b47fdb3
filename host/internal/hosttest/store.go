package hosttest

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/prefixed"
	"github.com/durafunc/durafunc/taskhub/storage/s3"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// HubName is the hub of every root.
const HubName = "E2E"

// Store says where the task hub of a root is: the section storageProvider of host.json
// and the environment that goes with it.
type Store struct {
	Provider map[string]any
	Env      []string // NAME=value

	open func(t testing.TB, r *Root) storage.Store
}

// File is the embedded store, in the root's own directory.
func File() Store {
	return Store{Provider: map[string]any{"type": "file"}, open: func(t testing.TB, r *Root) storage.Store {
		t.Helper()
		s, err := file.Open(filepath.Join(r.State(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}}
}

var prefixes atomic.Int64

// MinIO is an empty prefix of the MinIO server of this test binary; without a server
// the test is skipped or fails, see miniotest.
func MinIO(t testing.TB) Store {
	t.Helper()
	server := miniotest.Start(t)
	cfg := server.Config(fmt.Sprintf("e2e-%d", prefixes.Add(1)))
	return Store{
		Provider: map[string]any{
			"type": "s3", "bucket": cfg.Bucket, "prefix": cfg.Prefix, "endpoint": cfg.Endpoint,
			"region": cfg.Region, "forcePathStyle": true,
		},
		Env: []string{"AWS_ACCESS_KEY_ID=" + cfg.AccessKey, "AWS_SECRET_ACCESS_KEY=" + cfg.SecretKey},
		open: func(t testing.TB, _ *Root) storage.Store {
			t.Helper()
			s, err := s3.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// Open opens the task hub's objects in the test's own process.
func (s Store) Open(t testing.TB, r *Root) storage.Store {
	t.Helper()
	return prefixed.New(s.open(t, r), HubName)
}

// Again is an empty store of the same kind, for another root.
func (s Store) Again(t testing.TB) Store {
	t.Helper()
	if s.Provider["type"] == "s3" {
		return MinIO(t)
	}
	return s // in the root's own directory
}

// With is the store with one more setting, as in With("leaseDuration", "3s").
func (s Store) With(key string, value any) Store {
	provider := map[string]any{key: value}
	for k, v := range s.Provider {
		if k != key {
			provider[k] = v
		}
	}
	s.Provider = provider
	return s
}

// EachStore runs a test on files and, unless the tests are to be short, on MinIO, both in
// parallel with other tests.
func EachStore(t *testing.T, test func(t *testing.T, s Store)) {
	t.Parallel()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		test(t, File())
	})
	t.Run("minio", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("on files it has run; -short leaves out the other store")
		}
		test(t, MinIO(t))
	})
}
