package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Report is what Verify found out about one partition.
type Report struct {
	Partition int    `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	Owner     string `json:"owner,omitempty"` // session id
	// Checkpoint is the log record up to which the newest checkpoint is complete, Tail
	// the last record of the log, Records how many of them follow the checkpoint.
	Checkpoint uint64 `json:"checkpoint"`
	Tail       uint64 `json:"tail"`
	Records    int    `json:"records"`
	Instances  int    `json:"instances"`
	Live       int    `json:"live"`
	Events     uint64 `json:"events"`
	Payloads   int    `json:"payloads"`
	// Requests counts the answers to requests with an id that are kept.
	Requests int `json:"requests"`
	// Problems name the object or instance that is wrong; empty: all is well.
	Problems []string `json:"problems"`
}

func (r *Report) problem(err error) { r.Problems = append(r.Problems, err.Error()) }

// Verify reads a partition as a recovery would, without claiming it, and checks what it
// finds: the chain of digests, checksums, references, and that rows agree with their
// histories. It changes nothing. A partition that is written meanwhile is verified as of
// some moment; what a checkpoint trims meanwhile can be reported as missing.
func Verify(ctx context.Context, cfg Config) (*Report, error) {
	rep := &Report{Partition: cfg.Partition, Problems: []string{}}
	root, _, err := cfg.ReadRoot(ctx)
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		rep.problem(err)
		return rep, nil
	case err != nil:
		return nil, err
	case root == nil:
		return rep, nil // never claimed: empty
	}
	rep.Epoch, rep.Owner = root.Epoch, root.Owner
	if root.Hub != cfg.Hub || root.Partition != cfg.Partition {
		rep.problem(&CorruptError{Key: cfg.rootKey(), Err: fmt.Errorf("it is of hub %s, partition %d", root.Hub, root.Partition)})
	}
	if root.Previous != nil {
		if err := cfg.verifyManifest(ctx, rep, root.Previous); err != nil {
			return nil, err
		}
	}
	if root.Checkpoint != nil {
		rep.Checkpoint = root.Checkpoint.Seq
	}
	r := &recovered{root: root}
	err = cfg.restoreFrom(ctx, r, root.Checkpoint)
	if r.db != nil {
		defer func() { _ = r.db.Close() }() // a scratch copy
	}
	switch {
	case damaged(err):
		rep.problem(err)
	case errors.Is(err, ErrFenced):
		rep.problem(fmt.Errorf("the log has records of a higher epoch than the root: %w", err))
	case err != nil:
		return nil, err
	}
	if r.db == nil {
		return rep, nil
	}
	rep.Tail, rep.Records = r.db.Position().Seq, r.records
	return rep, cfg.verifyState(ctx, rep, r.db)
}

// verifyManifest restores an older checkpoint for its checksums alone.
func (c *Config) verifyManifest(ctx context.Context, rep *Report, m *checkpoint.Manifest) error {
	state, err := c.Opener.Begin(fmt.Sprintf("verify-p%d-%d", c.Partition, m.Seq))
	if err != nil {
		return err
	}
	db, err := checkpoint.Restore(ctx, c.Sched, c.Store, c.tablePrefix(), m, state)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		rep.problem(fmt.Errorf("previous checkpoint: %w", err))
		return nil
	}
	return db.Close()
}

func (c *Config) verifyState(ctx context.Context, rep *Report, db checkpoint.DB) error {
	audit, err := core.AuditState(db)
	if err != nil {
		return err
	}
	rep.Instances, rep.Live, rep.Events, rep.Payloads = audit.Instances, audit.Live, audit.Events, len(audit.Payloads)
	rep.Requests = audit.Requests
	rep.Problems = append(rep.Problems, audit.Problems...)
	if len(audit.Payloads) == 0 {
		return nil
	}
	there := map[string]bool{}
	for e, err := range c.Store.List(ctx, c.payloadPrefix(), "") {
		if err != nil {
			return err
		}
		there[strings.TrimPrefix(e.Key, c.payloadPrefix())] = true
	}
	for _, name := range audit.Payloads {
		if !there[name] {
			rep.problem(&CorruptError{Key: c.payloadPrefix() + name, Err: errors.New("it is referred to and missing")})
		}
	}
	return nil
}

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

// ReadStatus reads a partition's root and lists its log.
func ReadStatus(ctx context.Context, cfg Config) (*Status, error) {
	s := &Status{Partition: cfg.Partition}
	root, _, err := cfg.ReadRoot(ctx)
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
	slots, err := cfg.log().Slots(ctx)
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
