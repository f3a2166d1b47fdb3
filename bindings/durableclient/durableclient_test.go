package durableclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// fakeHub answers every call with err, or with what it holds.
type fakeHub struct {
	taskhub.Client
	err     error
	inst    *taskhub.Instance
	started taskhub.StartRequest
	opt     taskhub.GetOptions
	said    string
	payload string
	request string // its id
}

func (h *fakeHub) Payload(_ context.Context, reference string) (string, error) {
	return h.payload, h.err
}

func (h *fakeHub) Start(ctx context.Context, r taskhub.StartRequest) (taskhub.StartResult, error) {
	h.started, h.request = r, taskhub.RequestID(ctx)
	return taskhub.StartResult{ID: "made"}, h.err
}

func (h *fakeHub) Get(_ context.Context, _ string, o taskhub.GetOptions) (*taskhub.Instance, error) {
	h.opt = o
	return h.inst, h.err
}

func (h *fakeHub) Wait(ctx context.Context, id string, o taskhub.GetOptions) (*taskhub.Instance, error) {
	return h.Get(ctx, id, o)
}

func (h *fakeHub) RaiseEvent(ctx context.Context, id, name string, data *string) error {
	h.said, h.request = fmt.Sprint(id, " ", name, " ", *data), taskhub.RequestID(ctx)
	return h.err
}

func (h *fakeHub) Terminate(ctx context.Context, id, reason string, recursive bool) error {
	h.said, h.request = fmt.Sprint(id, " ", reason, " ", recursive), taskhub.RequestID(ctx)
	return h.err
}

func (h *fakeHub) Purge(ctx context.Context, id string) error {
	h.said, h.request = id, taskhub.RequestID(ctx)
	return h.err
}

type fakeFiles struct{ err error }

func (f fakeFiles) Put(_ context.Context, name, contentType string, body []byte) (string, error) {
	return fmt.Sprintf("http://x/%s?%s=%d", name, contentType, len(body)), f.err
}

func TestStatusCodes(t *testing.T) {
	tests := []struct {
		err  error
		want codes.Code
	}{
		{fmt.Errorf("x: %w", taskhub.ErrNotFound), codes.NotFound},
		{fmt.Errorf("x: %w", taskhub.ErrInstanceExists), codes.AlreadyExists},
		{fmt.Errorf("x: %w", taskhub.ErrTerminal), codes.FailedPrecondition},
		{fmt.Errorf("x: %w", taskhub.ErrInvalidState), codes.FailedPrecondition},
		{fmt.Errorf("x: %w", taskhub.ErrInvalidArgument), codes.InvalidArgument},
		{fmt.Errorf("x: %w", taskhub.ErrUnavailable), codes.Unavailable},
		{fmt.Errorf("x: %w", taskhub.ErrBusy), codes.Unavailable},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errors.New("anything"), codes.Internal},
	}
	ctx := context.Background()
	for _, tt := range tests {
		s := durableclient.New(&fakeHub{err: tt.err}, fakeFiles{tt.err})
		text := wrapperspb.String("1")
		calls := map[string]func() error{
			"start":     func() error { _, err := s.StartInstance(ctx, &protocol.StartInstanceRequest{}); return err },
			"raise":     func() error { _, err := s.RaiseEvent(ctx, &protocol.RaiseEventRequest{Input: text}); return err },
			"terminate": func() error { _, err := s.TerminateInstance(ctx, &protocol.TerminateInstanceRequest{}); return err },
			"purge":     func() error { _, err := s.PurgeInstance(ctx, &protocol.PurgeInstanceRequest{}); return err },
			"file":      func() error { _, err := s.PutFile(ctx, &protocol.PutFileRequest{}); return err },
		}
		if tt.want != codes.NotFound { // an answer for these
			calls["get"] = func() error { _, err := s.GetInstance(ctx, &protocol.GetInstanceRequest{}); return err }
			calls["wait"] = func() error { _, err := s.WaitForInstance(ctx, &protocol.GetInstanceRequest{}); return err }
		}
		for name, call := range calls {
			if got := status.Code(call()); got != tt.want {
				t.Errorf("%s with %v: %v, want %v", name, tt.err, got, tt.want)
			}
		}
	}
}

func TestCalls(t *testing.T) {
	ctx := context.Background()
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	out := `"o"`
	hub := &fakeHub{inst: &taskhub.Instance{ID: "i", Name: "n", Status: history.Completed, Created: at, Output: &out}}
	s := durableclient.New(hub, fakeFiles{})

	r, err := s.StartInstance(ctx, &protocol.StartInstanceRequest{Name: "n", InstanceId: "i", Input: wrapperspb.String("{}"),
		Version: wrapperspb.String("2"), StartAt: timestamppb.New(at), Tags: map[string]string{"a": "b"}})
	q := hub.started
	if err != nil || r.InstanceId != "made" || q.Name != "n" || q.ID != "i" || *q.Input != "{}" || q.Version != "2" ||
		!q.StartAt.Equal(at) || q.Tags["a"] != "b" {
		t.Errorf("start: %v %v, hub got %+v", r, err, q)
	}
	if _, err := s.StartInstance(ctx, &protocol.StartInstanceRequest{StartAt: &timestamppb.Timestamp{Nanos: -1}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("invalid time: %v", err)
	}
	g, err := s.WaitForInstance(ctx, &protocol.GetInstanceRequest{InstanceId: "i", Payloads: true})
	if err != nil || !g.Exists || g.Status.Output.GetValue() != out || !hub.opt.Payloads ||
		!g.Status.CreatedTime.AsTime().Equal(at) || g.Status.LastUpdatedTime != nil || g.Status.Input != nil {
		t.Errorf("wait: %v %v", g, err)
	}
	if g, err = s.WaitForInstance(ctx, &protocol.GetInstanceRequest{InstanceId: "i"}); err != nil || g.Status.Output != nil || hub.opt.Payloads {
		t.Errorf("wait without payloads: %v %v", g, err)
	}
	if g, err = s.GetInstance(ctx, &protocol.GetInstanceRequest{InstanceId: "i"}); err != nil || g.Status.Output != nil || hub.opt.Payloads {
		t.Errorf("get without payloads: %v %v", g, err)
	}
	if _, err := s.RaiseEvent(ctx, &protocol.RaiseEventRequest{InstanceId: "i", Name: "e", Input: wrapperspb.String("1")}); err != nil || hub.said != "i e 1" {
		t.Errorf("raise: %v, hub got %q", err, hub.said)
	}
	if _, err := s.TerminateInstance(ctx, &protocol.TerminateInstanceRequest{InstanceId: "i", Reason: "r", Recursive: true}); err != nil || hub.said != "i r true" {
		t.Errorf("terminate: %v, hub got %q", err, hub.said)
	}
	if p, err := s.PurgeInstance(ctx, &protocol.PurgeInstanceRequest{InstanceId: "i"}); err != nil || p.Deleted != 1 || hub.said != "i" {
		t.Errorf("purge: %v %v, hub got %q", p, err, hub.said)
	}
	if f, err := s.PutFile(ctx, &protocol.PutFileRequest{Name: "a", ContentType: "b", Body: []byte("xyz")}); err != nil || f.Url != "http://x/a?b=3" {
		t.Errorf("file: %v %v", f, err)
	}
	hub.err = taskhub.ErrNotFound
	if g, err := s.GetInstance(ctx, &protocol.GetInstanceRequest{}); err != nil || g.Exists {
		t.Errorf("missing instance: %v %v", g, err)
	}
	none := durableclient.New(hub, nil)
	if _, err := none.PutFile(ctx, &protocol.PutFileRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("file without a store: %v", err)
	}
}

// chunks collects what a server stream sends.
type chunks struct {
	grpc.ServerStreamingServer[protocol.PayloadChunk]
	data  []byte
	count int
}

func (*chunks) Context() context.Context { return context.Background() }

func (c *chunks) Send(p *protocol.PayloadChunk) error {
	c.data = append(c.data, p.Data...)
	c.count++
	return nil
}

func TestGetPayload(t *testing.T) {
	ref := history.PayloadRef{Name: "1-1", Bytes: 1, SHA256: strings.Repeat("0", 64)}.String()
	big := strings.Repeat("x", 3<<20+1)
	var got chunks
	s := durableclient.New(&fakeHub{payload: big}, nil)
	if err := s.GetPayload(&protocol.GetPayloadRequest{Reference: ref}, &got); err != nil || string(got.data) != big || got.count != 4 {
		t.Errorf("%d bytes in %d chunks, %v", len(got.data), got.count, err)
	}
	if err := s.GetPayload(&protocol.GetPayloadRequest{Reference: `"json"`}, &got); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no reference: %v", err)
	}
	s = durableclient.New(&fakeHub{err: storage.ErrNotFound}, nil)
	if err := s.GetPayload(&protocol.GetPayloadRequest{Reference: ref}, &got); status.Code(err) != codes.NotFound {
		t.Errorf("missing object: %v", err)
	}
}

// The id of a request reaches the hub, which makes the request harmless to repeat.
func TestRequestIDs(t *testing.T) {
	ctx := context.Background()
	hub := &fakeHub{}
	s := durableclient.New(hub, nil)
	for _, id := range []string{"r1", ""} {
		calls := map[string]func() error{
			"start": func() error {
				_, err := s.StartInstance(ctx, &protocol.StartInstanceRequest{RequestId: id})
				return err
			},
			"raise": func() error {
				_, err := s.RaiseEvent(ctx, &protocol.RaiseEventRequest{Input: wrapperspb.String("1"), RequestId: id})
				return err
			},
			"terminate": func() error {
				_, err := s.TerminateInstance(ctx, &protocol.TerminateInstanceRequest{RequestId: id})
				return err
			},
			"purge": func() error {
				_, err := s.PurgeInstance(ctx, &protocol.PurgeInstanceRequest{RequestId: id})
				return err
			},
		}
		for name, call := range calls {
			hub.request = "none came"
			if err := call(); err != nil || hub.request != id {
				t.Errorf("%s: hub got request id %q, want %q; %v", name, hub.request, id, err)
			}
		}
	}
}
