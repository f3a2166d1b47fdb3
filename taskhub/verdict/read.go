package verdict

import (
	"context"
	"time"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Reader reads until there is an answer that can be believed. It may be used concurrently.
type Reader struct {
	Store Getter
	Clock Clock
	// Timeout is when an attempt that has no answer is given up, and the next one made.
	Timeout time.Duration
}

// Getter is a store that can be read: see storage.Store.
type Getter interface {
	Get(ctx context.Context, key string) ([]byte, storage.Tag, error)
}

// GoodReads is how often an object is read before its damage is believed: an answer can be
// cut short or garbled on its way, or by one of a store's disks, while the object is whole.
const GoodReads = 3

// Answer is what the store has under a key.
type Answer struct {
	Body []byte
	Tag  storage.Tag
	// Bad is what is wrong with the content, as good said each time that it was read.
	Bad error
}

// Get reads key. good checks the content; what it objects to is read again before it is
// believed. The error is storage.ErrNotFound, ErrInvalidKey or ErrDamaged, which
// would come again, or that of ctx.
func (r Reader) Get(ctx context.Context, key string, good func([]byte) error) (Answer, error) {
	bad := 0
	for attempt := 0; ; attempt++ {
		a, err := r.once(ctx, key)
		if isAny(err, onReads) {
			return Answer{}, err
		}
		if err == nil {
			if a.Bad = good(a.Body); a.Bad == nil {
				return a, nil
			}
			if bad++; bad == GoodReads || planted.Is(planted.BelieveDamage) {
				return a, nil
			}
			err = a.Bad
		}
		if err := Pause(ctx, r.Clock, attempt, err); err != nil {
			return Answer{}, err
		}
	}
}

func (r Reader) once(ctx context.Context, key string) (Answer, error) {
	actx, cancel := r.Clock.WithTimeout(ctx, r.Timeout)
	b, tag, err := r.Store.Get(actx, key)
	cancel()
	return Answer{Body: b, Tag: tag}, err
}
