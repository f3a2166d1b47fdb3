package probe_test

import (
	"context"
	"errors"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/probe"
)

// denying denies the first so many creates.
type denying struct {
	storage.Store
	left int
}

func (d *denying) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if d.left > 0 {
		d.left--
		return "", storage.ErrDenied
	}
	return d.Store.Create(ctx, key, body)
}

// TestADenialIsAskedForAgain: MinIO denies a write for a moment while the directory goes
// that others have emptied; who has no rights is denied each time.
func TestADenialIsAskedForAgain(t *testing.T) {
	if err := probe.Quick(t.Context(), &denying{Store: memory.New(), left: 2}, "hub"); err != nil {
		t.Errorf("denied for a moment: %v", err)
	}
	if err := probe.Quick(t.Context(), &denying{Store: memory.New(), left: 100}, "hub"); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("denied for good: got %v, want ErrDenied", err)
	}
}
