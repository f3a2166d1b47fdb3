package partition

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// recovery takes a partition over: it claims the root, replays the state, and keeps every
// earlier owner out.
type recovery struct {
	cfg *Config
	replay
	tag storage.Tag // of the root
	pub *checkpoint.Publisher
	// fellBack: the newest checkpoint is damaged, the one before it was used.
	fellBack bool
}

// recoverPartition claims the partition and rebuilds its state: checkpoint, then the log,
// then an epoch record in the first free slot. free is the session known to have ended, if
// it owned the partition before.
func recoverPartition(ctx context.Context, c *Config, free string) (*recovery, error) {
	root, tag, err := c.claim(ctx, free)
	if err != nil {
		return nil, err
	}
	r := &recovery{cfg: c, replay: replay{bucket: c.Bucket, opener: c.Opener, root: root}, tag: tag}
	err = r.rebuild(ctx)
	if err == nil {
		err = r.writeEpochRecord(ctx)
	}
	if err == nil {
		r.tag, err = c.confirmOwner(ctx, root.Epoch)
	}
	if err != nil {
		if r.db != nil {
			err = errors.Join(err, r.db.Close())
		}
		return nil, c.confirmCorrupt(ctx, root.Epoch, err)
	}
	return r, nil
}

// rebuild loads the newest checkpoint and replays the log after it. If the checkpoint
// is damaged, or cannot be opened, the one before it serves, with the log that was kept
// for that.
func (r *recovery) rebuild(ctx context.Context) error {
	err := r.rebuildFrom(ctx, r.root.Checkpoint)
	if err == nil || r.root.Checkpoint == nil || !damaged(err) && !errors.Is(err, errState) {
		return err
	}
	if _, own := r.cfg.confirmOwner(ctx, r.root.Epoch); own != nil {
		return err
	}
	r.cfg.Log.Error("checkpoint cannot be used, going back to the one before it", "partition", r.cfg.N, "epoch", r.root.Epoch, "error", err)
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
		r.db = nil
	}
	switch before := r.rebuildFrom(ctx, r.root.Previous); {
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

func (r *recovery) rebuildFrom(ctx context.Context, m *checkpoint.Manifest) error {
	if err := r.from(ctx, m); err != nil {
		return err
	}
	c := r.cfg
	r.pub = &checkpoint.Publisher{Store: c.Store, Sched: c.Sched, Prefix: c.tablePrefix(), Epoch: r.root.Epoch, Guard: c.Session}
	r.pub.Known(m)
	return nil
}

// writeEpochRecord keeps every earlier owner out of the log. A slot that is taken meanwhile
// belongs to the owner before: its record is replayed, and the next slot tried.
func (r *recovery) writeEpochRecord(ctx context.Context) error {
	if planted.Is(planted.SkipEpochRecord) {
		return nil
	}
	c := r.cfg
	log := c.log()
	for {
		at := r.db.Position()
		rec := commitlog.Record{
			Kind: commitlog.Epoch, Hub: c.Hub, Session: c.Session.ID(), Partition: c.N,
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
		if err := r.apply(commitlog.Slot{Record: other, Digest: sha256.Sum256(taken.Bytes), Key: taken.Key}); err != nil {
			return err
		}
	}
}

// confirmOwner checks once more that this session owns the partition under epoch, and
// answers the tag of the root: a host that was frozen in the middle of a recovery wakes
// with a state that is stale and perfectly consistent (E§C3).
func (c *Config) confirmOwner(ctx context.Context, epoch uint64) (storage.Tag, error) {
	for {
		if err := c.Session.Await(ctx); err != nil {
			return "", err
		}
		now, tag, err := c.ReadRoot(ctx)
		if err != nil {
			return "", err
		}
		if now == nil || now.Epoch != epoch || now.Owner != c.Session.ID() {
			return "", fmt.Errorf("%w: while it was recovered", ErrFenced)
		}
		// The freeze may have sat inside the read.
		if c.Session.Alive() {
			return tag, nil
		}
	}
}

// confirmCorrupt lets a report of corruption stand only if the partition is still ours:
// else the new owner may have collected the missing object rightly (E§C3).
func (c *Config) confirmCorrupt(ctx context.Context, epoch uint64, err error) error {
	if !damaged(err) {
		return err
	}
	if _, own := c.confirmOwner(ctx, epoch); own != nil {
		return own
	}
	return err
}
