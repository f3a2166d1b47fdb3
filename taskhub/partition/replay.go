package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// errState means that the working state on this host failed: its disk is full or broken.
// What is in the bucket is not in doubt, so that the partition is opened again later.
var errState = errors.New("working state")

// damaged reports whether err means that something stored is damaged or contradicts another
// object, as opposed to a store or a disk that failed.
func damaged(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrDamaged)
}

// replay is a partition's state as a checkpoint and the log after it tell it.
type replay struct {
	bucket Bucket
	opener checkpoint.Opener
	root   *Root
	// db is nil until a checkpoint is restored; whoever has the replay closes it.
	db checkpoint.DB
	// records and bytes are what the log holds since the checkpoint.
	records, bytes int
}

// from restores checkpoint m, or the empty state that came before any, and replays the log
// after it.
func (r *replay) from(ctx context.Context, m *checkpoint.Manifest) error {
	if err := r.restore(ctx, m); err != nil {
		return err
	}
	r.records, r.bytes = 0, 0
	for slot, err := range r.bucket.log().Tail(ctx, r.db.Position().Seq) {
		if errors.Is(err, commitlog.ErrMalformed) {
			err = &CorruptError{Key: slot.Key, Err: err}
		}
		if err == nil {
			err = r.apply(slot)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) restore(ctx context.Context, m *checkpoint.Manifest) error {
	b := r.bucket
	if m == nil && r.root.TrimBelow > 0 {
		return &CorruptError{Key: b.rootKey(), Err: errors.New("the log was trimmed and there is no checkpoint")}
	}
	state, err := r.opener.Begin(fmt.Sprintf("p%d-%d", b.N, r.root.Epoch))
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	var db checkpoint.DB
	if m == nil {
		db, err = state.Open()
	} else {
		db, err = checkpoint.Restore(ctx, b.Sched, b.Store, b.tablePrefix(), m, state)
	}
	if err != nil {
		if ctx.Err() == nil && !damaged(err) {
			// What was fetched has its checksum.
			err = fmt.Errorf("%w: %w", errState, err)
		}
		return err
	}
	r.db = db
	if m != nil && db.Position().Seq < m.Seq {
		return &CorruptError{Key: b.tablePrefix() + m.Bundle.Name,
			Err: fmt.Errorf("state ends at record %d, its manifest says %d", db.Position().Seq, m.Seq)}
	}
	return nil
}

// apply replays one record.
func (r *replay) apply(slot commitlog.Slot) error {
	rec, at := slot.Record, r.db.Position()
	switch {
	case rec.Epoch > r.root.Epoch:
		return fmt.Errorf("%w: %s is of epoch %d", ErrFenced, slot.Key, rec.Epoch)
	case rec.Hub != r.bucket.Hub || rec.Partition != r.bucket.N:
		return &CorruptError{Key: slot.Key, Err: fmt.Errorf("record is of hub %s, partition %d", rec.Hub, rec.Partition)}
	case rec.Epoch < at.Epoch:
		// A fenced owner's record that landed late: it changes nothing, and whoever
		// wrote the next one skipped it too.
		return r.db.Apply(nil, checkpoint.Position{Seq: rec.Seq, Epoch: at.Epoch, Digest: at.Digest})
	case rec.Prev != at.Digest:
		return &CorruptError{Key: slot.Key, Err: fmt.Errorf("record follows another history: it names digest %x, the record before it has %x", rec.Prev[:6], at.Digest[:6])}
	}
	r.records++
	r.bytes += len(rec.Body)
	err := r.db.Apply(rec.Body, checkpoint.Position{Seq: rec.Seq, Epoch: rec.Epoch, Digest: slot.Digest})
	if errors.Is(err, kv.ErrMalformed) {
		return &CorruptError{Key: slot.Key, Err: err}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	return nil
}
