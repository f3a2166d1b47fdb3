package verdict

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Writer writes under a lease until the store has a verdict. It may be used concurrently.
type Writer struct {
	Guard Guard
	Clock Clock
	// Timeout is when an attempt that has no answer is given up, and the next one made.
	Timeout time.Duration
}

// Creator is a store in which an object can be created: see storage.Store.
type Creator interface {
	Create(ctx context.Context, key string, body []byte) (storage.Tag, error)
}

// Replacer is a store in which an object can be replaced: see storage.Store.
type Replacer interface {
	Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error)
}

// Verdict is what the store said of a write.
type Verdict struct {
	// Tag is that of the object as it was written.
	Tag storage.Tag
	// Conflict is a storage.ErrConflict if the store said no: something else stands there, or
	// this very write, of an attempt whose answer was lost. It is not in the error beside the
	// Verdict, since a lease too is lost by a conflict.
	Conflict error
}

// Create creates key. An error leaves open what became of the write: it is that of the Guard
// or of ctx, or one of storage.ErrInvalidKey, ErrTooLarge and ErrDamaged, which would come
// again. The lease was alive when the last attempt was sent, and may have ended since.
func (w Writer) Create(ctx context.Context, s Creator, key string, body []byte) (Verdict, error) {
	return w.write(ctx, func(ctx context.Context) (storage.Tag, error) { return s.Create(ctx, key, body) })
}

// Replace replaces key if its tag is old; otherwise like Create.
func (w Writer) Replace(ctx context.Context, s Replacer, key string, old storage.Tag, body []byte) (Verdict, error) {
	return w.write(ctx, func(ctx context.Context) (storage.Tag, error) { return s.Replace(ctx, key, old, body) })
}

func (w Writer) write(ctx context.Context, send func(context.Context) (storage.Tag, error)) (Verdict, error) {
	for attempt := 0; ; attempt++ {
		if err := w.Guard.Await(ctx); err != nil {
			return Verdict{}, err
		}
		actx, cancel := w.Clock.WithTimeout(ctx, w.Timeout)
		tag, err := send(w.Guard.Sign(actx))
		cancel()
		switch {
		case err == nil:
			return Verdict{Tag: tag}, nil
		case errors.Is(err, storage.ErrConflict):
			return Verdict{Conflict: err}, nil
		case isAny(err, onWrites):
			return Verdict{}, err
		case errors.Is(err, storage.ErrExpired):
			// This attempt came too late. One before it may have been in time.
			if err := w.Guard.Refresh(ctx); err != nil {
				return Verdict{}, err
			}
		}
		if err := Pause(ctx, w.Clock, attempt, err); err != nil {
			return Verdict{}, err
		}
	}
}
