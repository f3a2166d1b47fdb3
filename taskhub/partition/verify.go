package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
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
// histories. It changes nothing; opener makes the scratch copy of the state. A partition
// that is written meanwhile is verified as of some moment; what a checkpoint trims
// meanwhile can be reported as missing.
func (b Bucket) Verify(ctx context.Context, opener checkpoint.Opener) (*Report, error) {
	rep := &Report{Partition: b.N, Problems: []string{}}
	root, _, err := b.ReadRoot(ctx)
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
	if err := b.isOurs(root); err != nil {
		rep.problem(err)
	}
	if root.Previous != nil {
		if err := b.verifyPrevious(ctx, opener, rep, root.Previous); err != nil {
			return nil, err
		}
	}
	if root.Checkpoint != nil {
		rep.Checkpoint = root.Checkpoint.Seq
	}
	r := &replay{bucket: b, opener: opener, root: root}
	err = r.from(ctx, root.Checkpoint)
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
	return rep, b.verifyState(ctx, rep, r.db)
}

// verifyPrevious restores the older checkpoint for its checksums alone.
func (b Bucket) verifyPrevious(ctx context.Context, opener checkpoint.Opener, rep *Report, m *checkpoint.Manifest) error {
	state, err := opener.Begin(fmt.Sprintf("verify-p%d-%d", b.N, m.Seq))
	if err != nil {
		return err
	}
	db, err := checkpoint.Restore(ctx, b.Sched, b.Store, b.tablePrefix(), m, state)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		rep.problem(fmt.Errorf("previous checkpoint: %w", err))
		return nil
	}
	return db.Close()
}

func (b Bucket) verifyState(ctx context.Context, rep *Report, db checkpoint.DB) error {
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
	for e, err := range b.Store.List(ctx, b.payloadPrefix(), "") {
		if err != nil {
			return err
		}
		there[strings.TrimPrefix(e.Key, b.payloadPrefix())] = true
	}
	for _, name := range audit.Payloads {
		if !there[name] {
			rep.problem(&CorruptError{Key: b.payloadPrefix() + name, Err: errors.New("it is referred to and missing")})
		}
	}
	return nil
}
