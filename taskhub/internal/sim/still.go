package sim

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// still is a scheduler in which no time passes and nothing waits, for the reference,
// which looks at the bucket between two events.
type still struct{ w *World }

func (s still) Now() time.Time                             { return beginning.Add(s.w.now) }
func (s still) Mono() time.Duration                        { return s.w.now }
func (s still) Random(b []byte)                            { clear(b) }
func (s still) Go(f func())                                { f() }
func (s still) Sleep(context.Context, time.Duration) error { return errStill }
func (s still) NewLoop(func()) sched.Loop                  { return nil }
func (s still) NewSignal() sched.Signal                    { return &signal{w: s.w} }

func (s still) WithTimeout(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

func (s still) WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	return ctx, func(error) {}
}

var errStill = errors.New("time stands still")

// stillStore reads the bucket at once and without faults.
type stillStore struct{ b *Bucket }

// Get implements storage.Store.
func (s stillStore) Get(_ context.Context, key string) ([]byte, storage.Tag, error) {
	o := s.b.objects[key]
	if o == nil {
		return nil, "", storage.ErrNotFound
	}
	return o.body, o.tag, nil
}

// Create implements storage.Store: nothing is written.
func (s stillStore) Create(context.Context, string, []byte) (storage.Tag, error) {
	return "", errStill
}

// Replace implements storage.Store: nothing is written.
func (s stillStore) Replace(context.Context, string, storage.Tag, []byte) (storage.Tag, error) {
	return "", errStill
}

// Delete implements storage.Store: nothing is deleted.
func (s stillStore) Delete(context.Context, string) error { return errStill }

// List implements storage.Store: it is not needed.
func (s stillStore) List(context.Context, string, string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) { yield(storage.Entry{}, errStill) }
}
