package lease

import (
	"bytes"
	"context"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
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
func Update(ctx context.Context, s sched.Clock, r Register, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return UpdateUnder(ctx, verdict.Unguarded{}, s, r, key, old, body)
}

// UpdateUnder is Update for what only the holder of a lease may write: each attempt waits
// for the lease and carries the moment up to which it can be trusted.
func UpdateUnder(ctx context.Context, guard verdict.Guard, s sched.Clock, r Register, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	w := verdict.Writer{Guard: guard, Clock: s, Timeout: attemptTimeout}
	var v verdict.Verdict
	var err error
	if old == "" {
		v, err = w.Create(ctx, r, key, body)
	} else {
		v, err = w.Replace(ctx, r, key, old, body)
	}
	if v.Conflict == nil {
		return v.Tag, givenUp(ctx, key, err)
	}
	now, tag, err := Read(ctx, s, r, key)
	if err != nil {
		return "", err
	}
	if bytes.Equal(now, body) {
		return tag, nil // an attempt before had won
	}
	if damage := checked.Check(now); damage != nil {
		return "", fmt.Errorf("%w: %s: %w", v.Conflict, key, damage)
	}
	return "", v.Conflict
}

// Read gets a record and does not give up before ctx ends, unless there is none
// (storage.ErrNotFound). Records are of package checked; one that is damaged is answered as
// it is, for its decoder to tell.
func Read(ctx context.Context, s sched.Clock, r Register, key string) ([]byte, storage.Tag, error) {
	a, err := verdict.Reader{Store: r, Clock: s, Timeout: attemptTimeout}.Get(ctx, key, checked.Check)
	return a.Body, a.Tag, givenUp(ctx, key, err)
}

// givenUp adds the record to the error of whoever did not wait for the register any longer.
func givenUp(ctx context.Context, key string, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return err
}
