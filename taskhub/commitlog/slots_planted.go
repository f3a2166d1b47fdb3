//go:build planted

package commitlog

import (
	"bytes"
	"context"
	"errors"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// slots is where Append creates records: the store, or one with a deliberate bug.
func (l *Log) slots() verdict.Creator {
	if planted.Is(planted.AbsentMeansNever) {
		return &absentMeansNever{store: l.Store}
	}
	return l.Store
}

// absentMeansNever believes that a slot which is empty after a lost answer stays so: the
// batch is made anew, under another nonce, and whatever record of this epoch then stands in
// the slot is taken for it. It serves one Append.
type absentMeansNever struct {
	store   storage.Store
	unknown bool // the answer of the last attempt was lost
}

// Create implements verdict.Creator. The caller takes the digest of body when it returns,
// so that the new nonce goes into body itself; stores may keep what they are sent.
func (s *absentMeansNever) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if s.unknown {
		if _, _, err := s.store.Get(ctx, key); errors.Is(err, storage.ErrNotFound) {
			renew(body)
		}
	}
	tag, err := s.store.Create(ctx, key, bytes.Clone(body))
	s.unknown = err != nil
	if !errors.Is(err, storage.ErrConflict) {
		return tag, err
	}
	there, tag, rerr := s.store.Get(ctx, key)
	if rerr != nil {
		return "", err
	}
	other, oerr := Decode(there)
	ours, derr := Decode(body)
	if oerr == nil && derr == nil && other.Epoch == ours.Epoch {
		return tag, nil
	}
	return "", err
}

// renew gives an encoded record another nonce.
func renew(record []byte) {
	r, err := Decode(record)
	if err != nil {
		return
	}
	r.Nonce[0]++
	copy(record, r.Encode())
}
