package commitlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Guard stands for the writer's lease.
type Guard interface {
	// Await returns at once while the lease is alive, waits for its renewal when it is
	// not, and fails when it is lost for good.
	Await(ctx context.Context) error
	// Sign lets no write that is made with the returned context take effect after the
	// moment up to which the lease can be trusted as far as is known now (storage.Until).
	// Each attempt is signed anew: the same bytes may go out again under a later moment,
	// since ownership was renewed meanwhile.
	Sign(ctx context.Context) context.Context
	// Refresh asks for a renewal and returns after it, or as Await fails. It follows a
	// storage.ErrExpired: too little of the lease was left, or it has ended.
	Refresh(ctx context.Context) error
}

// Log is the log of one partition in the bucket.
type Log struct {
	Store  storage.Store
	Sched  sched.Scheduler
	Prefix string // of the slots' keys, ending in '/'
}

// Timings of Append. A PUT takes milliseconds on MinIO and up to a few hundred on S3.
const (
	// attemptTimeout is when an unanswered PUT is sent again.
	attemptTimeout = 5 * time.Second
	// maxBackoff bounds the pause between attempts.
	maxBackoff = time.Second
	firstPause = 20 * time.Millisecond
)

// Key is the key of a slot: 20 digits, so that keys sort like numbers.
func (l *Log) Key(seq uint64) string { return fmt.Sprintf("%s%020d", l.Prefix, seq) }

// SlotTakenError means that a slot holds a record that is not ours.
type SlotTakenError struct {
	Key   string
	Bytes []byte // what stands there
}

func (e *SlotTakenError) Error() string { return e.Key + " is taken by another writer" }

// Append puts an encoded record into its slot. An answer that is lost, refused or
// unclear says nothing about the write, so the same bytes are sent again until the
// store says yes, or no; only then the slot is read (E§A5.3). It gives up when
// the lease is lost, ctx ends, or the slot is taken: then with a *SlotTakenError.
func (l *Log) Append(ctx context.Context, guard Guard, seq uint64, record []byte) error {
	key := l.Key(seq)
	for attempt := 0; ; attempt++ {
		if err := guard.Await(ctx); err != nil {
			return err
		}
		actx, cancel := l.Sched.WithTimeout(ctx, attemptTimeout)
		_, err := l.Store.Create(guard.Sign(actx), key, record)
		cancel()
		switch {
		case err == nil:
			if planted.Is(planted.NoGrace) {
				return nil
			}
			// Signed after a long freeze, a PUT can land in a slot that was trimmed
			// meanwhile. Only under a lease that never ended is it ours (E§C3).
			return guard.Await(ctx)
		case errors.Is(err, storage.ErrConflict):
			if err := l.inspect(ctx, key, record); err != nil {
				return err
			}
			return guard.Await(ctx) // ours from an earlier attempt: the same holds
		case errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrInvalidKey), errors.Is(err, storage.ErrDamaged):
			return err
		case errors.Is(err, storage.ErrExpired):
			// This attempt came too late. One before it may have been in time.
			if err := guard.Refresh(ctx); err != nil {
				return err
			}
		}
		if planted.Is(planted.AbsentMeansNever) {
			if _, err := Fetch(ctx, l.Sched, l.Store, key); errors.Is(err, storage.ErrNotFound) {
				return ErrAbsent
			}
		}
		if err := Pause(ctx, l.Sched, attempt, err); err != nil {
			return err
		}
	}
}

// ErrAbsent comes from a planted bug alone: the slot was empty after a lost answer.
var ErrAbsent = errors.New("slot is empty")

// inspect looks into a slot that is taken: by this record, whose first answer was
// lost, or by another. The nonce inside makes equal bytes the same record.
func (l *Log) inspect(ctx context.Context, key string, record []byte) error {
	ours := sha256.Sum256(record)
	other, err := FetchGood(ctx, l.Sched, l.Store, key, func(b []byte) error {
		if sha256.Sum256(b) == ours {
			return nil
		}
		_, err := Decode(b)
		return err
	})
	if err != nil && !errors.Is(err, ErrMalformed) {
		return err
	}
	if sha256.Sum256(other) == ours {
		return nil
	}
	return &SlotTakenError{Key: key, Bytes: other}
}

// Fetch gets an object and does not give up before ctx ends, unless the store has a
// verdict (storage.ErrNotFound).
func Fetch(ctx context.Context, s sched.Scheduler, store storage.Store, key string) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := s.WithTimeout(ctx, 4*attemptTimeout)
		b, _, err := store.Get(actx, key)
		cancel()
		if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrInvalidKey) || errors.Is(err, storage.ErrDamaged) {
			return b, err
		}
		if err := Pause(ctx, s, attempt, err); err != nil {
			return nil, err
		}
	}
}

// goodReads is how often an object is read before its damage is believed: an answer can be
// cut short or garbled on its way, or by one of a store's disks, while the object is whole.
const goodReads = 3

// FetchGood is Fetch for an object whose content can be checked: it reads again what good
// objects to, and believes that only when it stays. Then it answers what it got last, and
// good's error.
func FetchGood(ctx context.Context, s sched.Scheduler, store storage.Store, key string, good func([]byte) error) ([]byte, error) {
	for read := 1; ; read++ {
		b, err := Fetch(ctx, s, store, key)
		if err != nil {
			return nil, err
		}
		bad := good(b)
		if bad == nil || read == goodReads || planted.Is(planted.BelieveDamage) {
			return b, bad
		}
		if err := Pause(ctx, s, read, bad); err != nil {
			return nil, err
		}
	}
}

// Pause waits between attempts: not before the second, then 20 ms doubling up to a
// second, each with jitter. It fails when ctx has ended, with the error of the
// attempt as its reason.
func Pause(ctx context.Context, s sched.Scheduler, attempt int, reason error) error {
	if attempt > 0 {
		d := min(firstPause<<min(attempt-1, 10), maxBackoff)
		var b [1]byte
		s.Random(b[:])
		_ = s.Sleep(ctx, d/2+d*time.Duration(b[0])/512)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; last error: %w", context.Cause(ctx), reason)
	}
	return nil
}

// Slot is one record read back.
type Slot struct {
	Record *Record
	Digest Digest
	Key    string
}

// readAhead is how many records are fetched at once; it hides the latency of an
// object store (1,000 records of 15 ms each in half a second).
const readAhead = 32

// Tail yields the records after slot after, in order, up to the first free slot. It
// ends at the first error. A record that cannot be decoded, or that stands in
// another's slot, is an error that names its key; the Slot beside it has the key too.
func (l *Log) Tail(ctx context.Context, after uint64) iter.Seq2[Slot, error] {
	return func(yield func(Slot, error) bool) {
		for next := after + 1; ; {
			keys, err := l.list(ctx, next)
			if err != nil {
				yield(Slot{Key: l.Prefix}, err)
				return
			}
			for len(keys) > 0 {
				n := min(readAhead, len(keys))
				bodies, err := l.fetchAll(ctx, keys[:n])
				if err != nil {
					yield(Slot{}, err)
					return
				}
				for k, body := range bodies {
					slot, err := l.decode(keys[k], next, body)
					if !yield(slot, err) || err != nil {
						return
					}
					next++
				}
				keys = keys[n:]
			}
			// A listing is bounded by what was there when it began. One more shows
			// what was added meanwhile; when nothing is, this is the tail.
			if more, err := l.list(ctx, next); err != nil || len(more) == 0 {
				if err != nil {
					yield(Slot{}, err)
				}
				return
			}
		}
	}
}

// list is the run of slots from next on without a gap. A gap ends the log: slots are
// filled in order, so what stands beyond one is not part of it.
func (l *Log) list(ctx context.Context, next uint64) ([]string, error) {
	for attempt := 0; ; attempt++ {
		var keys []string
		var failed error
		want := next
		actx, cancel := l.Sched.WithTimeout(ctx, 4*attemptTimeout)
		for e, err := range l.Store.List(actx, l.Prefix, l.Key(next-1)) {
			if err != nil {
				failed = err
				break
			}
			if e.Key != l.Key(want) {
				break
			}
			keys = append(keys, e.Key)
			want++
		}
		cancel()
		if failed == nil {
			return keys, nil
		}
		if errors.Is(failed, storage.ErrDamaged) {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, failed)
		}
		if err := Pause(ctx, l.Sched, attempt, failed); err != nil {
			return nil, err
		}
	}
}

func (l *Log) fetchAll(ctx context.Context, keys []string) ([][]byte, error) {
	bodies := make([][]byte, len(keys))
	errs := make([]error, len(keys))
	done := make([]sched.Signal, len(keys))
	for k, key := range keys {
		done[k] = l.Sched.NewSignal()
		l.Sched.Go(func() {
			bodies[k], errs[k] = FetchGood(ctx, l.Sched, l.Store, key, func(b []byte) error {
				_, err := Decode(b)
				return err
			})
			if errors.Is(errs[k], ErrMalformed) {
				errs[k] = nil // told in its place, after the records before it
			}
			done[k].Fire()
		})
	}
	for k := range done {
		if err := done[k].Wait(ctx); err != nil {
			return nil, err
		}
		if errs[k] != nil {
			return nil, errs[k]
		}
	}
	return bodies, nil
}

func (l *Log) decode(key string, seq uint64, body []byte) (Slot, error) {
	r, err := Decode(body)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("%w: it is the record of slot %d", ErrMalformed, r.Seq)
	}
	if err != nil {
		return Slot{Key: key}, fmt.Errorf("%s: %w", key, err)
	}
	return Slot{Record: r, Digest: sha256.Sum256(body), Key: key}, nil
}

// Slots lists the numbers of all slots that are there, in order.
func (l *Log) Slots(ctx context.Context) ([]uint64, error) {
	var slots []uint64
	for e, err := range l.Store.List(ctx, l.Prefix, "") {
		if err != nil {
			return nil, err
		}
		if seq, err := SeqOfKey(e.Key); err == nil { // others are not ours
			slots = append(slots, seq)
		}
	}
	return slots, nil
}

// SeqOfKey is the slot number at the end of a key.
func SeqOfKey(key string) (uint64, error) {
	if len(key) < 20 {
		return 0, fmt.Errorf("%s is no log slot", key)
	}
	return strconv.ParseUint(key[len(key)-20:], 10, 64)
}
