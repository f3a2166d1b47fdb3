package lease

import (
	"context"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Sweep deletes the session objects below prefix that have ended and that nobody has
// written for longer than keep. Time is the store's: an object is compared with the
// newest one, which this host's own session is not older than.
func Sweep(ctx context.Context, store storage.Store, prefix string, keep time.Duration) error {
	var old []storage.Entry
	var newest time.Time
	for e, err := range store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		old = append(old, e)
		if e.Modified.After(newest) {
			newest = e.Modified
		}
	}
	for _, e := range old {
		if newest.Sub(e.Modified) <= keep {
			continue
		}
		b, _, err := store.Get(ctx, e.Key)
		if err != nil {
			return err
		}
		if r, err := Decode(e.Key, b); err != nil || r.State == Live {
			continue // not ours, or somebody may still be waiting for it
		}
		if err := store.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}
