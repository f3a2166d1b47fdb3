package partition

import (
	"context"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// silent is a store that never answers.
type silent struct{ storage.Store }

func (silent) Get(ctx context.Context, _ string) ([]byte, storage.Tag, error) {
	<-ctx.Done()
	return nil, storage.Tag(""), context.Cause(ctx)
}

// While a payload cannot be read its sender repeats all that it has, again and again. Only
// what is new waits.
func TestRepeatedMessagesDoNotWaitTwice(t *testing.T) {
	p := &Partition{cfg: Config{
		Bucket:     Bucket{N: 0, Prefix: func(n int) string { return fmt.Sprintf("p/%02d/", n) }, Store: silent{}, Sched: sched.Real()},
		Partitions: 2, Log: hclog.NewNullLogger(),
	}}
	p.store.init(&p.cfg, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	p.ctx = ctx
	defer cancel(ErrStopped)
	send := func(first uint64, n int) {
		s := core.Send{Dst: 0, First: first}
		for range n {
			input := history.PayloadRef{Partition: 1, Name: "1-1", Bytes: 70_000}.String()
			b, err := (&core.Message{Kind: &core.Message_Start{Start: &core.StartMessage{Id: "a", Input: &input}}}).MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			s.Messages = append(s.Messages, b)
		}
		p.Receive(1, s)
	}
	for _, tt := range []struct {
		name  string
		first uint64
		n     int
		want  int // runs that wait
	}{
		{"the first", 1, 2, 1},
		{"the same again", 1, 2, 1},
		{"a part of it", 2, 1, 1},
		{"what follows", 3, 1, 2},
		{"an overlap", 1, 5, 3},
		{"all again", 1, 5, 3},
		{"after a gap", 9, 1, 3},
	} {
		send(tt.first, tt.n)
		p.intake.mu.Lock()
		got := len(p.intake.queues[1])
		p.intake.mu.Unlock()
		if got != tt.want {
			t.Errorf("%s: %d runs wait, want %d", tt.name, got, tt.want)
		}
	}
}
