package durable

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// fakeServices notes what it is asked and fails for the id "none".
type fakeServices struct {
	protocol.UnimplementedHostServicesServer
	asked []proto.Message
}

func (f *fakeServices) note(id string, m proto.Message) error {
	f.asked = append(f.asked, m)
	if id == "none" {
		return status.Error(codes.NotFound, "no such instance")
	}
	return nil
}

func (f *fakeServices) StartInstance(_ context.Context, r *protocol.StartInstanceRequest) (*protocol.StartInstanceResponse, error) {
	if r.InstanceId == "taken" {
		return nil, status.Error(codes.AlreadyExists, "taken")
	}
	return &protocol.StartInstanceResponse{InstanceId: "new-1"}, f.note("", r)
}

func (f *fakeServices) GetInstance(_ context.Context, r *protocol.GetInstanceRequest) (*protocol.GetInstanceResponse, error) {
	if r.InstanceId == "gone" {
		return &protocol.GetInstanceResponse{}, nil
	}
	s := &protocol.InstanceStatus{InstanceId: r.InstanceId, Name: "O", Status: history.Failed, CreatedTime: timestamppb.New(epoch),
		Failure: &history.TaskFailureDetails{ErrorType: "T", ErrorMessage: "m"}}
	if r.Payloads {
		s.Output = wrapperspb.String(`"m"`)
	}
	return &protocol.GetInstanceResponse{Exists: true, Status: s}, f.note(r.InstanceId, r)
}

func (f *fakeServices) WaitForInstance(ctx context.Context, r *protocol.GetInstanceRequest) (*protocol.GetInstanceResponse, error) {
	if r.InstanceId == "slow" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.GetInstance(ctx, r)
}

func (f *fakeServices) RaiseEvent(_ context.Context, r *protocol.RaiseEventRequest) (*protocol.RaiseEventResponse, error) {
	return &protocol.RaiseEventResponse{}, f.note(r.InstanceId, r)
}

func (f *fakeServices) TerminateInstance(_ context.Context, r *protocol.TerminateInstanceRequest) (*protocol.TerminateInstanceResponse, error) {
	return &protocol.TerminateInstanceResponse{}, f.note(r.InstanceId, r)
}

func (f *fakeServices) PurgeInstance(_ context.Context, r *protocol.PurgeInstanceRequest) (*protocol.PurgeInstanceResponse, error) {
	_ = f.note("", r)
	return &protocol.PurgeInstanceResponse{Deleted: 1}, status.Error(codes.FailedPrecondition, "it runs")
}

func (f *fakeServices) PutFile(_ context.Context, r *protocol.PutFileRequest) (*protocol.PutFileResponse, error) {
	return &protocol.PutFileResponse{Url: "http://x/" + r.Name + "?" + string(r.Body) + r.ContentType}, f.note("", r)
}

// An activity reaches the host's services through the broker of the connection.
func TestHostClient(t *testing.T) {
	fake := &fakeServices{}
	app := activityApp(func(ctx context.Context, _ int) (string, error) {
		c := Client(ctx)
		id, err := c.Start(ctx, "O", 5, WithInstanceID("mine"), WithVersion("2"), WithTags(map[string]string{"a": "b"}), WithStartAt(epoch))
		if id != "new-1" || err != nil {
			t.Errorf("Start: %q, %v", id, err)
		}
		check := func(what string, err, want error) {
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
		}
		_, err = c.Start(ctx, "O", nil, WithInstanceID("taken"))
		check("taken id", err, ErrInstanceExists)
		_, err = c.Start(ctx, "O", nil, WithInstanceID("a/b"))
		check("bad id", err, ErrInvalidArgument)
		_, err = c.Get(ctx, "none")
		check("Get of none", err, ErrNotFound)
		_, err = c.Get(ctx, "gone")
		check("Get of gone", err, ErrNotFound)
		s, err := c.Get(ctx, "x")
		if err != nil || s.Status != StatusFailed || s.Failure.Type != "T" || s.Output != nil || !s.CreatedTime.Equal(epoch) {
			t.Errorf("Get: %+v, %v", s, err)
		}
		s, err = c.Get(ctx, "x", WithPayloads())
		if err != nil || string(s.Output) != `"m"` {
			t.Errorf("Get with payloads: %+v, %v", s, err)
		}
		s, err = c.Wait(ctx, "x")
		if err != nil || string(s.Output) != `"m"` {
			t.Errorf("Wait: %+v, %v", s, err)
		}
		short, cancel := context.WithCancelCause(ctx)
		enough := errors.New("enough")
		cancel(enough)
		_, err = c.Wait(short, "slow")
		check("Wait that is given up", err, enough)
		check("RaiseEvent", c.RaiseEvent(ctx, "none", "e", 1), ErrNotFound)
		check("RaiseEvent", c.RaiseEvent(ctx, "x", "e", func() {}), ErrInvalidArgument)
		check("Terminate", c.Terminate(ctx, "x", "why"), nil)
		check("Terminate", c.Terminate(ctx, "x", "why", WithChildrenKept()), nil)
		check("Purge", c.Purge(ctx, "x"), ErrInvalidState)
		return c.PutFile(ctx, "f.txt", []byte("body"), "text/plain")
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
	if got := s.result(); got.Result.GetValue() != `"http://x/f.txt?bodytext/plain"` {
		t.Fatalf("result is %v", got)
	}
	start := fake.asked[0].(*protocol.StartInstanceRequest)
	if start.Input.GetValue() != "5" || start.InstanceId != "mine" || start.Version.GetValue() != "2" || start.Tags["a"] != "b" || !start.StartAt.AsTime().Equal(epoch) {
		t.Errorf("Start asked %v", start)
	}
	var recursive []bool
	for _, m := range fake.asked {
		if q, ok := m.(*protocol.TerminateInstanceRequest); ok {
			recursive = append(recursive, q.Recursive)
		}
	}
	if len(recursive) != 2 || !recursive[0] || recursive[1] {
		t.Errorf("recursive was %v", recursive)
	}
}

func TestOutsideOfAnActivity(t *testing.T) {
	ctx := context.Background()
	if _, err := Client(ctx).Get(ctx, "x"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Get without a host: %v", err)
	}
	if Info(ctx) != (ActivityInfo{}) || Logger(ctx) == nil {
		t.Error("a plain context has no call and the default logger")
	}
}

// TestCheckInstanceID: an id's length is in characters, as everywhere else.
func TestCheckInstanceID(t *testing.T) {
	for id, want := range map[string]error{
		strings.Repeat("ü", 200): nil, strings.Repeat("ü", 256): nil,
		strings.Repeat("ü", 257): ErrInvalidArgument, "a/b": ErrInvalidArgument, "": ErrInvalidArgument,
	} {
		if err := checkInstanceID(id); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", id, err, want)
		}
	}
}
