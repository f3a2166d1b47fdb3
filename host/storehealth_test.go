package host

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// failing fails every write with its error; nil lets it through.
type failing struct {
	storage.Store
	err error
}

func (f *failing) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if f.err != nil {
		return "", f.err
	}
	return f.Store.Create(ctx, key, body)
}

func TestAFailingStoreIsReported(t *testing.T) {
	var log bytes.Buffer
	inner := &failing{Store: memory.New()}
	s := monitorStore(inner, hclog.New(&hclog.LoggerOptions{Output: &log}))
	write := func(err error) {
		inner.err = err
		_, _ = s.Create(t.Context(), "key", nil)
	}

	// Verdicts, and callers that leave, are no failures.
	for _, err := range []error{nil, storage.ErrConflict, storage.ErrTooLarge, storage.ErrExpired, context.Canceled} {
		write(err)
	}
	if _, _, err := s.Get(t.Context(), "none"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	if p := s.problems(); len(p) > 0 || log.Len() > 0 {
		t.Fatalf("problems %q, log %q, want none", p, log.String())
	}

	for range 3 {
		write(errors.New("no space left"))
	}
	if p := s.problems(); len(p) != 1 || !strings.Contains(p[0], "writes fail") || !strings.Contains(p[0], "no space left") {
		t.Errorf("problems are %q, want the writes", p)
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, log.String())
	}

	// One that works ends it.
	write(nil)
	if p := s.problems(); len(p) > 0 {
		t.Errorf("problems are %q after a write that worked", p)
	}
}
