package hosttest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// Store says where the task hub of a root is: the section storageProvider of host.json
// and the environment that goes with it.
type Store struct {
	Provider map[string]any
	Env      []string // NAME=value
}

// File is the embedded store, in the root's own directory.
func File() Store { return Store{Provider: map[string]any{"type": "file"}} }

var prefixes atomic.Int64

// MinIO is an empty prefix of the MinIO server of this test binary; without a server
// the test is skipped or fails, see miniotest.
func MinIO(t testing.TB) Store {
	t.Helper()
	s := miniotest.Start(t)
	return Store{
		Provider: map[string]any{
			"type": "s3", "bucket": s.Bucket, "prefix": fmt.Sprintf("e2e-%d", prefixes.Add(1)), "endpoint": s.Endpoint,
			"region": "us-east-1", "forcePathStyle": true,
		},
		Env: []string{"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey},
	}
}

// With is the store with one more setting, as in With("leaseDuration", "3s").
func (s Store) With(key string, value any) Store {
	provider := map[string]any{key: value}
	for k, v := range s.Provider {
		if k != key {
			provider[k] = v
		}
	}
	return Store{Provider: provider, Env: s.Env}
}

// EachStore runs a test on files and on MinIO.
func EachStore(t *testing.T, test func(t *testing.T, s Store)) {
	t.Run("file", func(t *testing.T) { test(t, File()) })
	t.Run("minio", func(t *testing.T) { test(t, MinIO(t)) })
}
