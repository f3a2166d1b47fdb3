package partition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// garbled damages the first answers; the objects are whole.
type garbled struct {
	storage.Store
	left int
}

func (g *garbled) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	b, tag, err := g.Store.Get(ctx, key)
	if err == nil && g.left > 0 {
		g.left--
		b = b[:len(b)-1]
	}
	return b, tag, err
}

func TestADamagedPayloadIsReadAgain(t *testing.T) {
	s := memory.New()
	prefix := func(int) string { return "p/00/" }
	if _, err := s.Create(t.Context(), "p/00/payload/1-1", []byte("payload")); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("payload"))
	ref := history.PayloadRef{Name: "1-1", Bytes: 7, SHA256: hex.EncodeToString(sum[:])}
	for bad, fine := range map[int]bool{0: true, 2: true, 3: false} {
		got, err := ReadPayload(t.Context(), &garbled{Store: s, left: bad}, prefix, ref.String())
		var corrupt *CorruptError
		if fine && (err != nil || got != "payload") || !fine && (!errors.As(err, &corrupt) || got != "") {
			t.Errorf("%d bad answers: got %q, %v", bad, got, err)
		}
	}
}
