package lease

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Observer watches the session of another host.
type Observer struct {
	Config
	// Dead, if set, reports whether the holder is proven dead, as by a file lock on the
	// same machine: then nobody has to wait for the lease.
	Dead func(Record) bool
	// Seen, if set, is told what every look at the session found: its record, or why that
	// cannot be read.
	Seen func(Record, error)
}

// Gone returns nil when the session has ended, evicting it once it has been seen
// without a renewal for its whole lease duration, on this host's own clock, and without a
// long pause between two reads. It returns the last record seen.
//
// A record that is damaged says nothing of its holder, not even how it could be proven dead.
// Its tag changes with every renewal as its version would, and the session's id tells its
// lease: so the holder is waited for like any other that is silent (docs/decisions/0018).
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
		if o.Seen != nil {
			o.Seen(r, err)
		}
		dead := o.Dead
		if millis, ok := leaseOf(id); ok && errors.Is(err, checked.ErrDamaged) {
			r = Record{Format: recordFormat, ID: id, State: Live, Version: "damaged " + string(tag), LeaseMillis: millis}
			dead, err = nil, nil
		}
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
		if left <= 0 || dead != nil && dead(r) {
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
		if err := o.pause(ctx, dead, r, min(left, max(lease/15, 20*time.Millisecond))); err != nil {
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
func (o *Observer) pause(ctx context.Context, dead func(Record) bool, r Record, wait time.Duration) error {
	if dead == nil {
		return o.Sched.Sleep(ctx, wait)
	}
	for until := o.Sched.Mono() + wait; ; {
		left := until - o.Sched.Mono()
		if left <= 0 {
			return nil
		}
		if err := o.Sched.Sleep(ctx, min(left, proofEvery)); err != nil || dead(r) {
			return err
		}
	}
}

func newVersion(o *Observer) string {
	s := Session{cfg: o.Config}
	return s.version()
}
