package lease

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Observer watches the session of another host.
type Observer struct {
	Config
	// Dead, if set, says whether the holder is proven dead, as by a file lock on the
	// same machine: then nobody has to wait for the lease.
	Dead func(Record) bool
}

// Gone returns nil when the session has ended, evicting it once it has been seen
// without a renewal for its whole lease duration, on this host's own clock, and without a
// long pause between two reads. It returns the last record seen.
func (o *Observer) Gone(ctx context.Context, id string) (Record, error) {
	key := o.Prefix + id
	var seen string
	var since, last time.Duration
	for {
		b, tag, err := Read(ctx, o.Sched, o.Register, key)
		if errors.Is(err, storage.ErrNotFound) {
			return Record{ID: id, State: Closed}, nil
		}
		if err != nil {
			return Record{}, err
		}
		r, err := Decode(key, b)
		if err != nil {
			return r, err
		}
		if r.State != Live {
			return r, nil
		}
		lease := time.Duration(r.LeaseMillis) * time.Millisecond
		now := o.Sched.Mono()
		if r.Version != seen || now-last > lease/2 {
			// From when it was seen, not from when it was asked for: a read can take as
			// long as an outage lasts, and the holder may have renewed at its very end.
			// While this host could not read the holder could perhaps not write: an outage
			// that is over must not end in hosts that evict each other.
			seen, since = r.Version, now
		}
		last = now
		left := lease - (o.Sched.Mono() - since)
		if left <= 0 || o.Dead != nil && o.Dead(r) {
			r.State, r.Version = Evicted, newVersion(o)
			_, err := Update(ctx, o.Sched, o.Register, key, tag, r.encode())
			if err == nil {
				return r, nil
			}
			if !errors.Is(err, storage.ErrConflict) {
				return r, err
			}
			continue // it was renewed after all, or somebody was faster
		}
		if err := o.pause(ctx, r, min(left, max(lease/15, 20*time.Millisecond))); err != nil {
			return r, err
		}
	}
}

// proofEvery is how often a proof of the holder's death is looked for between two reads.
// It costs no request. A process that was killed loses its connections a little before
// its locks, so that the first look often comes too early.
const proofEvery = 50 * time.Millisecond

// pause waits until the session is to be read again, which a proof of the holder's death
// makes at once.
func (o *Observer) pause(ctx context.Context, r Record, wait time.Duration) error {
	if o.Dead == nil {
		return o.Sched.Sleep(ctx, wait)
	}
	for until := o.Sched.Mono() + wait; ; {
		left := until - o.Sched.Mono()
		if left <= 0 {
			return nil
		}
		if err := o.Sched.Sleep(ctx, min(left, proofEvery)); err != nil || o.Dead(r) {
			return err
		}
	}
}

func newVersion(o *Observer) string {
	s := Session{cfg: o.Config}
	return s.version()
}
