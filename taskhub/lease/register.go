package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Register is what sessions and roots stand on: single records that are created once
// and replaced under a condition. Every storage.Store is one; so can a table be.
// Errors are those of storage.Store.
type Register interface {
	Get(ctx context.Context, key string) ([]byte, storage.Tag, error)
	Create(ctx context.Context, key string, body []byte) (storage.Tag, error)
	Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error)
}

// Update replaces a record, or creates it when old is "", and resolves lost answers:
// the same bytes are sent until the register says yes or no, and on no the record is
// read. body must hold a fresh nonce, so that finding it means that it is this write.
// storage.ErrConflict means that another write won.
func Update(ctx context.Context, s sched.Scheduler, r Register, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := s.WithTimeout(ctx, attemptTimeout)
		var tag storage.Tag
		var err error
		if old == "" {
			tag, err = r.Create(actx, key, body)
		} else {
			tag, err = r.Replace(actx, key, old, body)
		}
		cancel()
		switch {
		case err == nil:
			return tag, nil
		case errors.Is(err, storage.ErrConflict):
			now, tag, rerr := Read(ctx, s, r, key)
			if rerr != nil {
				return "", rerr
			}
			if bytes.Equal(now, body) {
				return tag, nil
			}
			return "", err
		case errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrInvalidKey):
			return "", err
		}
		if err := commitlog.Pause(ctx, s, attempt, err); err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
	}
}

// Read gets a record and does not give up before ctx ends, unless there is none
// (storage.ErrNotFound).
func Read(ctx context.Context, s sched.Scheduler, r Register, key string) ([]byte, storage.Tag, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := s.WithTimeout(ctx, attemptTimeout)
		b, tag, err := r.Get(actx, key)
		cancel()
		if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrInvalidKey) {
			return b, tag, err
		}
		if err := commitlog.Pause(ctx, s, attempt, err); err != nil {
			return nil, "", fmt.Errorf("%s: %w", key, err)
		}
	}
}
