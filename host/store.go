package host

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/lease/dynamodb"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/prefixed"
	"github.com/durafunc/durafunc/taskhub/storage/s3"
)

// OpenStore opens the store that host.json names, rooted at the hub, and says in words
// where it is.
func OpenStore(ctx context.Context, cfg *hostjson.Config) (storage.Store, string, error) {
	c := cfg.DurableTask.Storage
	hub := cfg.DurableTask.HubName
	switch c.Type {
	case hostjson.StoreMemory:
		return memory.New(), "memory (gone when the host ends)", nil
	case hostjson.StoreFile:
		dir := filepath.Join(c.Path, "store")
		s, err := file.Open(dir)
		if err != nil {
			return nil, "", err
		}
		return prefixed.New(s, hub), "directory " + dir, nil
	case hostjson.StoreS3:
		s, err := s3.Open(ctx, s3.Config{
			Bucket: c.Bucket, Prefix: c.Prefix, Endpoint: c.Endpoint, Region: c.Region, ForcePathStyle: c.ForcePathStyle,
		})
		if err != nil {
			return nil, "", err
		}
		where := "bucket " + c.Bucket
		if c.Endpoint != "" {
			where += " at " + c.Endpoint
		}
		return prefixed.New(s, hub), where, nil
	default:
		return nil, "", fmt.Errorf("storageProvider.type %q is unknown", c.Type)
	}
}

// OpenRegister opens what host.json names for sessions and roots, and says in words where
// that is; nil and "" when they are objects of the store.
func OpenRegister(ctx context.Context, cfg *hostjson.Config) (lease.Register, string, error) {
	l := cfg.DurableTask.Storage.Leases
	if l.Type != hostjson.LeasesDynamoDB {
		return nil, "", nil
	}
	r, err := dynamodb.Open(ctx, dynamodb.Config{Table: l.Table, Prefix: cfg.DurableTask.HubName, Endpoint: l.Endpoint, Region: l.Region})
	if err != nil {
		return nil, "", err
	}
	return r, "dynamodb table " + l.Table, nil
}
