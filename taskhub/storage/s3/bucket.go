package s3

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket creates the bucket of s unless we own it already. It is for local
// stores and tests; on AWS a bucket is better created with its policies.
func (s *Store) CreateBucket(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &s.bucket}
	if !s.custom && s.region != defaultRegion {
		// AWS wants the region in the body, except in the one region where it
		// refuses it.
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.region),
		}
	}
	_, err := s.client.CreateBucket(ctx, in)
	var owned *types.BucketAlreadyOwnedByYou
	if errors.As(err, &owned) {
		return nil
	}
	if err != nil {
		e := s.failSDK("create bucket", "", err)
		var full *Error
		if errors.As(e, &full) {
			full.Key = ""
		}
		return e
	}
	return nil
}
