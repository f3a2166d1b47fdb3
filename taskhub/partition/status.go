package partition

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Status is what the bucket says of one partition at a glance.
type Status struct {
	Partition int    `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	Owner     string `json:"owner,omitempty"` // session id
	// WakeAt is when a partition that nobody owns has to be served again; nil: when it is
	// asked for something.
	WakeAt     *time.Time `json:"wakeAt,omitempty"`
	Checkpoint uint64     `json:"checkpoint"` // log record
	LogFirst   uint64     `json:"logFirst"`   // slots that are there
	LogLast    uint64     `json:"logLast"`
	LogRecords int        `json:"logRecords"`
	// Problem says what is wrong with the root, of which nothing is known then, or the log.
	Problem string `json:"problem,omitempty"`
}

// Status reads the root and lists the log.
func (b Bucket) Status(ctx context.Context) (*Status, error) {
	s := &Status{Partition: b.N}
	root, _, err := b.ReadRoot(ctx)
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		s.Problem = err.Error()
	case err != nil:
		return nil, err
	}
	if root != nil {
		s.Epoch, s.Owner = root.Epoch, root.Owner
		if root.WakeAt != 0 {
			at := time.Unix(0, root.WakeAt).UTC()
			s.WakeAt = &at
		}
		if root.Checkpoint != nil {
			s.Checkpoint = root.Checkpoint.Seq
		}
	}
	slots, err := b.log().Slots(ctx)
	switch {
	case errors.Is(err, storage.ErrDamaged):
		s.Problem = err.Error()
	case err != nil:
		return nil, err
	}
	if s.LogRecords = len(slots); s.LogRecords > 0 {
		s.LogFirst, s.LogLast = slices.Min(slots), slices.Max(slots)
	}
	return s, nil
}
