package partition

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// recovered is a partition's state as the log tells it, under a new epoch.
type recovered struct {
	root *Root
	tag  storage.Tag
	db   checkpoint.DB
	pub  *checkpoint.Publisher
	// fellBack: the newest checkpoint is damaged, the one before it was used.
	fellBack bool
	// replayed counts log records and bytes since the checkpoint.
	records, bytes int
}

// recover claims the partition and rebuilds its state: checkpoint, then the log, then
// an epoch record in the first free slot, which keeps every earlier owner out.
func (c *Config) recover(ctx context.Context, free string) (*recovered, error) {
	root, tag, err := c.claim(ctx, free)
	if err != nil {
		return nil, err
	}
	r := &recovered{root: root, tag: tag}
	err = c.restore(ctx, r)
	if err == nil {
		err = c.announce(ctx, r)
	}
	if err == nil {
		err = c.stillOurs(ctx, r)
	}
	if err != nil {
		if r.db != nil {
			err = errors.Join(err, r.db.Close())
		}
		return nil, c.believe(ctx, r, err)
	}
	return r, nil
}

// errState means that the working state on this host failed: its disk is full or broken.
// What is in the bucket is not in doubt, so that the partition is opened again later.
var errState = errors.New("working state")

// restore loads the newest checkpoint and replays the log after it. If the checkpoint
// is damaged, or cannot be opened, the one before it serves, with the log that was kept
// for that.
func (c *Config) restore(ctx context.Context, r *recovered) error {
	err := c.restoreFrom(ctx, r, r.root.Checkpoint)
	if err == nil || r.root.Checkpoint == nil || !damaged(err) && !errors.Is(err, errState) || c.stillOurs(ctx, r) != nil {
		return err
	}
	c.Log.Error("checkpoint cannot be used, going back to the one before it", "partition", c.Partition, "epoch", r.root.Epoch, "error", err)
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
		r.db = nil
	}
	switch before := c.restoreFrom(ctx, r, r.root.Previous); {
	case errors.Is(before, errState) && !errors.Is(err, errState):
		return before // which says nothing of what is stored
	case errors.Is(err, errState) && damaged(before):
		return err
	case before != nil:
		return errors.Join(err, before)
	}
	r.fellBack = true
	return nil
}

func damaged(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrDamaged)
}

func (c *Config) restoreFrom(ctx context.Context, r *recovered, m *checkpoint.Manifest) error {
	if m == nil && r.root.TrimBelow > 0 {
		return &CorruptError{Key: c.rootKey(), Err: errors.New("the log was trimmed and there is no checkpoint")}
	}
	state, err := c.Opener.Begin(fmt.Sprintf("p%d-%d", c.Partition, r.root.Epoch))
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	var db checkpoint.DB
	if m == nil {
		db, err = state.Open()
	} else {
		db, err = checkpoint.Restore(ctx, c.Sched, c.Store, c.tablePrefix(), m, state)
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
		return &CorruptError{Key: c.tablePrefix() + m.Bundle.Name,
			Err: fmt.Errorf("state ends at record %d, its manifest says %d", db.Position().Seq, m.Seq)}
	}
	r.pub = &checkpoint.Publisher{Store: c.Store, Sched: c.Sched, Prefix: c.tablePrefix(), Epoch: r.root.Epoch, Guard: c.Session}
	r.pub.Known(m)
	r.records, r.bytes = 0, 0
	log := c.log()
	for slot, err := range log.Tail(ctx, db.Position().Seq) {
		if errors.Is(err, commitlog.ErrMalformed) {
			err = &CorruptError{Key: slot.Key, Err: err}
		}
		if err == nil {
			err = c.apply(r, slot)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply replays one record.
func (c *Config) apply(r *recovered, slot commitlog.Slot) error {
	rec, at := slot.Record, r.db.Position()
	switch {
	case rec.Epoch > r.root.Epoch:
		return fmt.Errorf("%w: %s is of epoch %d", ErrFenced, slot.Key, rec.Epoch)
	case rec.Hub != c.Hub || rec.Partition != c.Partition:
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

// announce puts the epoch record. A slot that is taken meanwhile belongs to the owner
// before: its record is replayed, and the next slot tried.
func (c *Config) announce(ctx context.Context, r *recovered) error {
	if planted.Is(planted.SkipEpochRecord) {
		return nil
	}
	log := c.log()
	for {
		at := r.db.Position()
		rec := commitlog.Record{
			Kind: commitlog.Epoch, Hub: c.Hub, Session: c.Session.ID(), Partition: c.Partition,
			Epoch: r.root.Epoch, Seq: at.Seq + 1, Prev: at.Digest,
		}
		c.Sched.Random(rec.Nonce[:])
		b := rec.Encode()
		err := log.Append(ctx, c.Session, rec.Seq, b)
		if err == nil {
			return r.db.Apply(nil, checkpoint.Position{Seq: rec.Seq, Epoch: rec.Epoch, Digest: sha256.Sum256(b)})
		}
		var taken *commitlog.SlotTakenError
		if !errors.As(err, &taken) {
			return err
		}
		other, derr := commitlog.Decode(taken.Bytes)
		if derr != nil {
			return &CorruptError{Key: taken.Key, Err: derr}
		}
		if err := c.apply(r, commitlog.Slot{Record: other, Digest: sha256.Sum256(taken.Bytes), Key: taken.Key}); err != nil {
			return err
		}
	}
}

// stillOurs checks ownership once more: a host that was frozen in the middle of a
// recovery wakes with a state that is stale and perfectly consistent (E§C3).
func (c *Config) stillOurs(ctx context.Context, r *recovered) error {
	for {
		if err := c.Session.Await(ctx); err != nil {
			return err
		}
		now, tag, err := c.ReadRoot(ctx)
		if err != nil {
			return err
		}
		if now == nil || now.Epoch != r.root.Epoch || now.Owner != c.Session.ID() {
			return fmt.Errorf("%w: while it was recovered", ErrFenced)
		}
		r.tag = tag
		// The freeze may have sat inside the read.
		if c.Session.Alive() {
			return nil
		}
	}
}

// believe lets a report of corruption stand only if the partition is still ours: else
// the new owner may have collected the missing object rightly (E§C3).
func (c *Config) believe(ctx context.Context, r *recovered, err error) error {
	if !damaged(err) {
		return err
	}
	if own := c.stillOurs(ctx, r); own != nil {
		return own
	}
	return err
}
