package partition

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Root is the one replaceable object of a partition: who owns it, under which epoch,
// and where its checkpoint is. One object, so that ownership and checkpoint cannot
// disagree (E§C3). It is never deleted and its epoch never falls. It carries a checksum
// (package checked).
type Root struct {
	Format    int    `json:"format"` // 1
	Hub       string `json:"hub"`
	Partition int    `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	// Owner is the session that owns the partition; "" when it was released.
	Owner string `json:"owner"`
	// WakeAt is when somebody has to serve the partition again, in Unix nanoseconds, while
	// nobody owns it; 0: when it is asked for something.
	WakeAt int64 `json:"wakeAt,omitempty"`
	// Nonce is fresh in every version, since a store's tags may be content hashes.
	Nonce string `json:"nonce"`
	// Checkpoint is the newest one. Previous is kept, with the log that follows it,
	// until the next one is published.
	Checkpoint *checkpoint.Manifest `json:"checkpoint,omitempty"`
	Previous   *checkpoint.Manifest `json:"previous,omitempty"`
	// TrimBelow: log slots below it may be missing, and are ignored if they reappear.
	TrimBelow uint64 `json:"trimBelow"`
}

const rootFormat = 1

func (r *Root) encode() []byte { return checked.Marshal(r) }

func decodeRoot(key string, b []byte) (*Root, error) {
	r := &Root{}
	if err := checked.Unmarshal(b, r); err != nil {
		return nil, &CorruptError{Key: key, Err: err}
	}
	if r.Format != rootFormat {
		return nil, fmt.Errorf("%s: format %d; this version knows %d", key, r.Format, rootFormat)
	}
	return r, nil
}

// CorruptError means that an object of the partition is damaged or contradicts another.
// The partition stops; the bytes stay where they are.
type CorruptError = checked.CorruptError

// ErrFenced means that another session owns the partition now. What this one had not
// committed is redone there.
var ErrFenced = errors.New("partition has a new owner")

// ErrOwned means that another session that has not ended owns the partition.
var ErrOwned = errors.New("partition is owned by another host")

// ReadRoot reads a partition's root; nil if it was never claimed.
func (b Bucket) ReadRoot(ctx context.Context) (*Root, storage.Tag, error) {
	body, tag, err := lease.Read(ctx, b.Sched, b.Register, b.rootKey())
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	r, err := decodeRoot(b.rootKey(), body)
	return r, tag, err
}

// isOurs checks that a root stands where it belongs.
func (b Bucket) isOurs(r *Root) error {
	if r.Hub != b.Hub || r.Partition != b.N {
		return &CorruptError{Key: b.rootKey(), Err: fmt.Errorf("it is of hub %s, partition %d", r.Hub, r.Partition)}
	}
	return nil
}

// claim makes this session the owner, under the next epoch. The caller knows that the
// session named as free has ended ("" if nobody owned the partition).
func (c *Config) claim(ctx context.Context, free string) (*Root, storage.Tag, error) {
	r, tag, err := c.ReadRoot(ctx)
	if err != nil {
		return nil, "", err
	}
	if r == nil {
		r = &Root{Format: rootFormat, Hub: c.Hub, Partition: c.N}
	}
	if r.Owner != "" && r.Owner != free && r.Owner != c.Session.ID() {
		return nil, "", fmt.Errorf("%w: session %s, epoch %d", ErrOwned, r.Owner, r.Epoch)
	}
	if err := c.isOurs(r); err != nil {
		return nil, "", err
	}
	r.Epoch++
	r.Owner, r.WakeAt = c.Session.ID(), 0
	tag, err = c.writeRoot(ctx, r, tag)
	return r, tag, err
}

// writeRoot replaces the root. Losing to another write means being fenced.
func (c *Config) writeRoot(ctx context.Context, r *Root, old storage.Tag) (storage.Tag, error) {
	if err := c.Session.Await(ctx); err != nil {
		return "", err
	}
	var nonce [12]byte
	c.Sched.Random(nonce[:])
	r.Nonce = hex.EncodeToString(nonce[:])
	tag, err := lease.UpdateUnder(ctx, c.Session, c.Sched, c.Register, c.rootKey(), old, r.encode())
	if errors.Is(err, storage.ErrConflict) && planted.Is(planted.RootWithoutTag) {
		if _, old, err = lease.Read(ctx, c.Sched, c.Register, c.rootKey()); err == nil {
			tag, err = lease.UpdateUnder(ctx, c.Session, c.Sched, c.Register, c.rootKey(), old, r.encode())
		}
	}
	if errors.Is(err, storage.ErrConflict) {
		return "", fmt.Errorf("%w: %s was replaced", ErrFenced, c.rootKey())
	}
	return tag, err
}
