package durable

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Each kind of request that changes something carries the id of its context.
func TestRequestIDTravels(t *testing.T) {
	fake := &fakeServices{}
	app := activityApp(func(ctx context.Context, _ int) (string, error) {
		c := Client(ctx)
		for _, id := range []string{"", "r1"} {
			ctx := WithRequestID(ctx, id)
			_, _ = c.Start(ctx, "O", nil)
			_ = c.RaiseEvent(ctx, "x", "e", nil)
			_ = c.Terminate(ctx, "x", "")
			_ = c.Purge(ctx, "x")
		}
		return "", nil
	})
	h, _ := connect(t, app)
	id := h.broker.NextId()
	go h.broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(opts...)
		protocol.RegisterHostServicesServer(s, fake)
		return s
	})
	s := openWork(t, h)
	s.send(&protocol.HostFrame{HostServices: id, Activities: []*protocol.ActivityWork{call1(1)}})
	s.result()
	if len(fake.asked) != 8 {
		t.Fatalf("%d requests came, want 8", len(fake.asked))
	}
	for n, m := range fake.asked {
		want := ""
		if n >= 4 {
			want = "r1"
		}
		if got := m.(interface{ GetRequestId() string }).GetRequestId(); got != want {
			t.Errorf("%T carries request id %q, want %q", m, got, want)
		}
	}
}
