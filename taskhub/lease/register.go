package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checked"
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
// storage.ErrConflict means that another write won; with checked.ErrDamaged, that what stands
// there cannot be read.
//
// A session's own record is written like this, under no deadline: a renewal that lands
// when the lease has ended is harmless, since an evictor has changed the record then.
func Update(ctx context.Context, s sched.Scheduler, r Register, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return UpdateUnder(ctx, free{}, s, r, key, old, body)
}

// free is the guard of what needs no lease.
type free struct{}

func (free) Await(context.Context) error              { return nil }
func (free) Sign(ctx context.Context) context.Context { return ctx }
func (free) Refresh(context.Context) error            { return nil }

// UpdateUnder is Update for what only the holder of a lease may write: each attempt waits
// for the lease and carries the moment up to which it can be trusted.
func UpdateUnder(ctx context.Context, guard commitlog.Guard, s sched.Scheduler, r Register, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	for attempt := 0; ; attempt++ {
		if err := guard.Await(ctx); err != nil {
			return "", err
		}
		actx, cancel := s.WithTimeout(ctx, attemptTimeout)
		signed := guard.Sign(actx)
		var tag storage.Tag
		var err error
		if old == "" {
			tag, err = r.Create(signed, key, body)
		} else {
			tag, err = r.Replace(signed, key, old, body)
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
			if damage := checked.Check(now); damage != nil {
				err = fmt.Errorf("%w: %s: %w", err, key, damage)
			}
			return "", err
		case errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrInvalidKey):
			return "", err
		case errors.Is(err, storage.ErrExpired):
			// This attempt came too late. One before it may have been in time.
			if err := guard.Refresh(ctx); err != nil {
				return "", err
			}
		}
		if err := commitlog.Pause(ctx, s, attempt, err); err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
	}
}

// goodReads is how often a record is read before it is believed to be damaged: an answer
// can be damaged on its way while the record is whole.
const goodReads = 3

// Read gets a record and does not give up before ctx ends, unless there is none
// (storage.ErrNotFound). Records are of package checked; one that is damaged is answered as
// it is, for its decoder to tell.
func Read(ctx context.Context, s sched.Scheduler, r Register, key string) ([]byte, storage.Tag, error) {
	bad := 0
	for attempt := 0; ; attempt++ {
		actx, cancel := s.WithTimeout(ctx, attemptTimeout)
		b, tag, err := r.Get(actx, key)
		cancel()
		if err == nil {
			if damage := checked.Check(b); damage != nil {
				if bad++; bad < goodReads {
					err = damage
				}
			}
		}
		if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrInvalidKey) {
			return b, tag, err
		}
		if err := commitlog.Pause(ctx, s, attempt, err); err != nil {
			return nil, "", fmt.Errorf("%s: %w", key, err)
		}
	}
}
