package verdict_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

const key = "p/00/thing"

var errUnclear = errors.New("connection lost")

// step is what becomes of one request.
type step struct {
	err  error
	done bool // the store did it all the same
	late bool // the store does it just before the next request
	hang bool // no answer before the attempt's context ends
	body string
}

var (
	pass     = step{done: true}
	lost     = step{err: errUnclear, done: true} // the answer alone
	never    = step{err: errUnclear}
	late     = step{err: errUnclear, late: true}
	silent   = step{hang: true}
	denied   = step{err: storage.ErrDenied}
	expired  = step{err: storage.ErrExpired}
	damaged  = step{err: storage.ErrDamaged}
	tooLarge = step{err: storage.ErrTooLarge}
	garbled  = step{done: true, body: "garbled"}
)

// store plays steps, one a request; what comes after the last passes.
type store struct {
	*memory.Store
	steps    []step
	later    func()
	requests int
}

func (s *store) next(ctx context.Context, do func(context.Context) error) (step, error) {
	s.requests++
	if s.later != nil {
		s.later()
		s.later = nil
	}
	x := pass
	if len(s.steps) > 0 {
		x, s.steps = s.steps[0], s.steps[1:]
	}
	if x.hang {
		<-ctx.Done()
		return x, context.Cause(ctx)
	}
	if x.late {
		s.later = func() { _ = do(context.Background()) }
	}
	if x.done {
		if err := do(ctx); x.err == nil {
			return x, err
		}
	}
	return x, x.err
}

func (s *store) Create(ctx context.Context, key string, body []byte) (tag storage.Tag, err error) {
	_, err = s.next(ctx, func(ctx context.Context) (err error) { tag, err = s.Store.Create(ctx, key, body); return err })
	return tag, err
}

func (s *store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (tag storage.Tag, err error) {
	_, err = s.next(ctx, func(ctx context.Context) (err error) { tag, err = s.Store.Replace(ctx, key, old, body); return err })
	return tag, err
}

func (s *store) Get(ctx context.Context, key string) (b []byte, tag storage.Tag, err error) {
	x, err := s.next(ctx, func(ctx context.Context) (err error) { b, tag, err = s.Store.Get(ctx, key); return err })
	if x.body != "" {
		b = []byte(x.body)
	}
	return b, tag, err
}

// lease is a Guard that is lost after so many looks; negative: never.
type lease struct {
	looks     int
	refreshed int
	refuses   error // what Refresh fails with
}

// A lease too is lost by a conflict, that of its renewal.
var errLost = fmt.Errorf("session lost: %w", storage.ErrConflict)

func (l *lease) Await(ctx context.Context) error {
	if l.looks == 0 {
		return errLost
	}
	l.looks--
	return ctx.Err()
}

func (l *lease) Sign(ctx context.Context) context.Context { return ctx }

func (l *lease) Refresh(context.Context) error {
	l.refreshed++
	return l.refuses
}

func TestWritesEndWithAVerdict(t *testing.T) {
	endless := lease{looks: -1}
	for _, tt := range []struct {
		name      string
		steps     []step
		stood     string // under the key before: "" nothing
		lease     lease
		requests  int
		refreshed int
		conflict  bool
		err       error
	}{
		{"yes", nil, "", endless, 1, 0, false, nil},
		{"never applied", []step{never}, "", endless, 2, 0, false, nil},
		{"no answer at all", []step{silent}, "", endless, 2, 0, false, nil},
		{"a lost answer: a conflict with ourselves", []step{lost}, "", endless, 2, 0, true, nil},
		{"landed late, before the next attempt", []step{late}, "", endless, 2, 0, true, nil},
		{"many times", []step{never, silent, denied, never, lost, silent}, "", endless, 7, 0, true, nil},
		{"somebody else's", nil, "other", endless, 1, 0, true, nil},
		{"somebody else's, after an unclear answer", []step{never}, "other", endless, 2, 0, true, nil},
		{"a refusal is no verdict", []step{denied, denied}, "", endless, 3, 0, false, nil},
		{"damage is one", []step{never, damaged}, "", endless, 2, 0, false, storage.ErrDamaged},
		{"too large is one", []step{tooLarge}, "", endless, 1, 0, false, storage.ErrTooLarge},
		{"an expired attempt is signed anew", []step{expired, expired}, "", endless, 3, 2, false, nil},
		{"an attempt before the expired one was in time", []step{lost, expired}, "", endless, 3, 1, true, nil},
		{"expired, and the lease is not renewed", []step{expired}, "", lease{looks: -1, refuses: errLost}, 1, 1, false, errLost},
		{"no lease, no request", nil, "", lease{}, 0, 0, false, errLost},
		{"each attempt needs the lease", []step{never, lost, never}, "", lease{looks: 2}, 2, 0, false, errLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{Store: memory.New(), steps: tt.steps}
				if tt.stood != "" {
					put(t, s, tt.stood)
				}
				w := verdict.Writer{Guard: &tt.lease, Clock: sched.Real(), Timeout: 5 * time.Second}
				v, err := w.Create(t.Context(), s, key, []byte("ours"))
				if !errors.Is(err, tt.err) || (v.Conflict != nil) != tt.conflict {
					t.Errorf("got %+v, %v", v, err)
				}
				if tt.conflict && !errors.Is(v.Conflict, storage.ErrConflict) {
					t.Errorf("the conflict is %v", v.Conflict)
				}
				if s.requests != tt.requests || tt.lease.refreshed != tt.refreshed {
					t.Errorf("%d requests, %d renewals; want %d, %d", s.requests, tt.lease.refreshed, tt.requests, tt.refreshed)
				}
				if b, tag, _ := s.Store.Get(t.Context(), key); err == nil && !tt.conflict && (string(b) != "ours" || tag != v.Tag) {
					t.Errorf("%q stands there, as %s; the verdict says %s", b, tag, v.Tag)
				}
			})
		})
	}
}

func TestAReplacementIsResolvedAlike(t *testing.T) {
	for _, tt := range []struct {
		name     string
		steps    []step
		stale    bool
		conflict bool
	}{
		{"yes", nil, false, false},
		{"never applied", []step{never}, false, false},
		{"a lost answer", []step{lost}, false, true},
		{"landed late", []step{late}, false, true},
		{"the tag has moved", nil, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{Store: memory.New(), steps: tt.steps}
				old := put(t, s, "before")
				if tt.stale {
					old = "another"
				}
				w := verdict.Writer{Guard: verdict.Unguarded{}, Clock: sched.Real(), Timeout: 5 * time.Second}
				v, err := w.Replace(t.Context(), s, key, old, []byte("ours"))
				if err != nil || (v.Conflict != nil) != tt.conflict {
					t.Errorf("got %+v, %v", v, err)
				}
			})
		})
	}
}

// Who gives up says why, and what the last answer was.
func TestAnEndedContextEndsTheWait(t *testing.T) {
	stop := errors.New("the host stops")
	for name, f := range map[string]func(context.Context, *store) error{
		"write": func(ctx context.Context, s *store) error {
			_, err := verdict.Writer{Guard: verdict.Unguarded{}, Clock: sched.Real(), Timeout: time.Second}.Create(ctx, s, key, nil)
			return err
		},
		"read": func(ctx context.Context, s *store) error {
			_, err := verdict.Reader{Store: s, Clock: sched.Real(), Timeout: time.Second}.Get(ctx, key, whole)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(stop)
				err := f(ctx, &store{Store: memory.New(), steps: []step{never, never}})
				if !errors.Is(err, stop) || !errors.Is(err, errUnclear) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

var errNotWhole = errors.New("checksum")

func whole(b []byte) error {
	if bytes.HasPrefix(b, []byte("garbled")) {
		return errNotWhole
	}
	return nil
}

func TestReadsEndWithAnAnswer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		steps    []step
		stored   string
		requests int
		body     string
		bad      bool
		err      error
	}{
		{"whole", nil, "good", 1, "good", false, nil},
		{"unclear answers say nothing", []step{never, silent, denied, lost}, "good", 5, "good", false, nil},
		{"garbled on its way, twice", []step{garbled, garbled}, "good", 3, "good", false, nil},
		{"damage that stays is believed", nil, "garbled there", 3, "garbled there", true, nil},
		{"what is unclear is not counted as damage", []step{garbled, never, garbled, never}, "good", 5, "good", false, nil},
		{"nothing there", []step{never}, "", 2, "", false, storage.ErrNotFound},
		{"the store cannot tell", []step{damaged}, "good", 1, "", false, storage.ErrDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{Store: memory.New(), steps: tt.steps}
				if tt.stored != "" {
					put(t, s, tt.stored)
				}
				a, err := verdict.Reader{Store: s, Clock: sched.Real(), Timeout: 5 * time.Second}.Get(t.Context(), key, whole)
				if !errors.Is(err, tt.err) || string(a.Body) != tt.body || errors.Is(a.Bad, errNotWhole) != tt.bad {
					t.Errorf("got %q, bad %v, %v", a.Body, a.Bad, err)
				}
				if s.requests != tt.requests {
					t.Errorf("%d requests, want %d", s.requests, tt.requests)
				}
			})
		})
	}
}

func put(t *testing.T, s *store, body string) storage.Tag {
	t.Helper()
	tag, err := s.Store.Create(t.Context(), key, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return tag
}
