package durable

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// payloadServices serves one large payload, and fails twice before it does.
type payloadServices struct {
	protocol.UnimplementedHostServicesServer
	text  string
	asked atomic.Int32
}

func (f *payloadServices) GetPayload(r *protocol.GetPayloadRequest, out grpc.ServerStreamingServer[protocol.PayloadChunk]) error {
	if strings.Contains(r.Reference, "gone") {
		return status.Error(codes.NotFound, "no such object")
	}
	if f.asked.Add(1) <= 2 {
		return status.Error(codes.Internal, "not now")
	}
	half := len(f.text) / 2
	for _, part := range []string{f.text[:half], f.text[half:]} {
		if err := out.Send(&protocol.PayloadChunk{Data: []byte(part)}); err != nil {
			return err
		}
	}
	return nil
}

func reference(name string) string {
	return history.PayloadRef{Partition: 1, Name: name, Bytes: 1 << 20, SHA256: strings.Repeat("0", 64)}.String()
}

// Inputs and results that come as references are read from the host, in activities
// and in orchestrators alike; a host that fails for a moment is asked again.
func TestLargePayloadsAreRead(t *testing.T) {
	fake := &payloadServices{text: `"` + strings.Repeat("x", 1<<20) + `"`}
	app := NewApp("test")
	Activity(app, "Length", func(_ context.Context, s string) (int, error) { return len(s), nil })
	Orchestrator(app, "O", func(ctx *OrchestrationContext, in string) (int, error) {
		result, err := CallActivity[string](ctx, "Make", nil).Await()
		return len(in) + len(result), err
	})
	h, _ := connect(t, app)
	id := h.broker.NextId()
	go h.broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(opts...)
		protocol.RegisterHostServicesServer(s, fake)
		return s
	})
	s := openWork(t, h)
	s.send(&protocol.HostFrame{HostServices: id, Activities: []*protocol.ActivityWork{
		{Work: 1, Name: "Length", InstanceId: "i", ExecutionId: "e", Input: wrapperspb.String(reference("1-1"))},
	}})
	if got := s.result(); got.Result.GetValue() != "1048576" {
		t.Errorf("activity: %v", got)
	}
	if asked := fake.asked.Load(); asked != 3 {
		t.Errorf("the host was asked %d times, want 3", asked)
	}
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{
		{Work: 2, Name: "Length", InstanceId: "i", ExecutionId: "e", Input: wrapperspb.String(reference("gone"))},
	}})
	if got := s.result(); !strings.Contains(got.Failure.GetErrorMessage(), "no such object") || !got.Failure.GetIsNonRetriable() {
		t.Errorf("missing payload: %v", got)
	}

	th := newTestHost(t, app, "O")
	started := &protocol.OrchestratorWork{Work: 3, InstanceId: "i", ExecutionId: "exec1", Name: "O",
		NewEvents: encodeEvents(t, []*history.HistoryEvent{th.started(reference("1-2"))})}
	s.send(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{started}})
	first := s.episode()
	if len(first.Actions) != 1 {
		t.Fatalf("first episode: %v", first)
	}
	s.send(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{{Work: 4, InstanceId: "i", ExecutionId: "exec1", Name: "O",
		Position:  positionAfter(0, 1, first.Actions),
		NewEvents: encodeEvents(t, []*history.HistoryEvent{done(0, reference("1-3"))})}}})
	got := s.episode()
	if len(got.Actions) != 1 || got.Actions[0].GetCompleteOrchestration().GetResult().GetValue() != "2097152" {
		t.Errorf("orchestrator: %v", got)
	}
}

func TestPayloadsThatNoHostTakes(t *testing.T) {
	if _, err := encode(strings.Repeat("x", maxPayload)); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("encode: %v", err)
	}
}
