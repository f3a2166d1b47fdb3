package commitlog

import (
	"bytes"
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
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// Log is the log of one partition in the bucket.
type Log struct {
	Store  storage.Store
	Sched  sched.Scheduler
	Prefix string // of the slots' keys, ending in '/'
}

// A PUT takes milliseconds on MinIO and up to a few hundred on S3.
const (
	// appendTimeout is when an unanswered PUT is sent again.
	appendTimeout = 5 * time.Second
	// readTimeout is when an unanswered read or listing is made again.
	readTimeout = 4 * appendTimeout
)

// Key is the key of a slot: 20 digits, so that keys sort like numbers.
func (l *Log) Key(seq uint64) string { return fmt.Sprintf("%s%020d", l.Prefix, seq) }

// SlotTakenError means that a slot holds a record that is not ours.
type SlotTakenError struct {
	Key   string
	Bytes []byte // what stands there
}

func (e *SlotTakenError) Error() string { return e.Key + " is taken by another writer" }

// Append puts an encoded record into its slot and returns nil when it is durable there and
// the lease never ended: package verdict. It gives up when the lease is lost, ctx ends, or
// the slot is taken by another record: then with a *SlotTakenError.
func (l *Log) Append(ctx context.Context, guard verdict.Guard, seq uint64, record []byte) error {
	key := l.Key(seq)
	w := verdict.Writer{Guard: guard, Clock: l.Sched, Timeout: appendTimeout}
	v, err := w.Create(ctx, l.slots(), key, record)
	if v.Conflict != nil {
		err = l.inspect(ctx, key, record)
	}
	if err != nil || planted.Is(planted.NoGrace) {
		return err
	}
	// Signed after a long freeze, a PUT can land in a slot that was trimmed meanwhile. Only
	// under a lease that never ended is it ours (E§C3).
	return guard.Await(ctx)
}

// inspect looks into a slot that is taken: by this record, whose first answer was
// lost, or by another. The nonce inside makes equal bytes the same record.
func (l *Log) inspect(ctx context.Context, key string, record []byte) error {
	there, err := l.slot(ctx, key, func(b []byte) error {
		if bytes.Equal(b, record) {
			return nil
		}
		_, err := Decode(b)
		return err
	})
	if err != nil {
		return err
	}
	if bytes.Equal(there.Body, record) {
		return nil
	}
	return &SlotTakenError{Key: key, Bytes: there.Body}
}

func (l *Log) slot(ctx context.Context, key string, good func([]byte) error) (verdict.Answer, error) {
	return verdict.Reader{Store: l.Store, Clock: l.Sched, Timeout: readTimeout}.Get(ctx, key, good)
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
		actx, cancel := l.Sched.WithTimeout(ctx, readTimeout)
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
		if err := verdict.Pause(ctx, l.Sched, attempt, failed); err != nil {
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
			var a verdict.Answer
			a, errs[k] = l.slot(ctx, key, func(b []byte) error {
				_, err := Decode(b)
				return err
			})
			bodies[k] = a.Body // if it is bad that is told in its place, after the records before it
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
