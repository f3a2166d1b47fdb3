// Package durableclient is the durableClient binding: it answers what an app asks its host
// by durable.HostClient, over a task hub's client and the host's file store (the HostServices
// of the plugin contract). The HTTP client for other programs is plugins/durable/client.
// gRPC status codes are chosen here and nowhere else.
package durableclient

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Files stores a file and answers a URL under which it can be fetched for a while.
type Files interface {
	// Put fails with taskhub.ErrInvalidArgument when the name, the type or the size
	// cannot be taken.
	Put(ctx context.Context, name, contentType string, body []byte) (url string, err error)
}

// Hub is what an app may ask of a task hub.
type Hub interface {
	taskhub.Client
	// Payload reads what a payload reference stands for.
	Payload(ctx context.Context, reference string) (string, error)
}

// Services implements protocol.HostServicesServer.
type Services struct {
	protocol.UnimplementedHostServicesServer
	hub   Hub
	files Files
}

var _ protocol.HostServicesServer = (*Services)(nil)

// New serves hub and files; with files nil, PutFile is unimplemented.
func New(hub Hub, files Files) *Services {
	return &Services{hub: hub, files: files}
}

// once makes a request harmless to repeat if the app has given it an id.
func once(ctx context.Context, r interface{ GetRequestId() string }) context.Context {
	if id := r.GetRequestId(); id != "" {
		return taskhub.WithRequestID(ctx, id)
	}
	return ctx
}

// StartInstance starts an orchestration: AlreadyExists, InvalidArgument.
func (s *Services) StartInstance(ctx context.Context, r *protocol.StartInstanceRequest) (*protocol.StartInstanceResponse, error) {
	req := taskhub.StartRequest{
		Name: r.GetName(), ID: r.GetInstanceId(), Input: history.UnwrapText(r.GetInput()),
		Version: r.GetVersion().GetValue(), Tags: r.GetTags(),
	}
	if t := r.GetStartAt(); t != nil {
		if err := t.CheckValid(); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "startAt: %v", err)
		}
		req.StartAt = t.AsTime()
	}
	res, err := s.hub.Start(once(ctx, r), req)
	if err != nil {
		return nil, wireError(err)
	}
	return &protocol.StartInstanceResponse{InstanceId: res.ID}, nil
}

// GetInstance reads an instance; one that is not there is an answer, not an error.
func (s *Services) GetInstance(ctx context.Context, r *protocol.GetInstanceRequest) (*protocol.GetInstanceResponse, error) {
	inst, err := s.hub.Get(ctx, r.GetInstanceId(), taskhub.GetOptions{Payloads: r.GetPayloads()})
	return instance(inst, r.GetPayloads(), err)
}

// WaitForInstance answers when the instance has ended, or ends with the call.
func (s *Services) WaitForInstance(ctx context.Context, r *protocol.GetInstanceRequest) (*protocol.GetInstanceResponse, error) {
	inst, err := s.hub.Wait(ctx, r.GetInstanceId(), taskhub.GetOptions{Payloads: r.GetPayloads()})
	return instance(inst, r.GetPayloads(), err)
}

// RaiseEvent delivers an external event: NotFound, FailedPrecondition.
func (s *Services) RaiseEvent(ctx context.Context, r *protocol.RaiseEventRequest) (*protocol.RaiseEventResponse, error) {
	if err := s.hub.RaiseEvent(once(ctx, r), r.GetInstanceId(), r.GetName(), history.UnwrapText(r.GetInput())); err != nil {
		return nil, wireError(err)
	}
	return &protocol.RaiseEventResponse{}, nil
}

// TerminateInstance ends an instance: NotFound, FailedPrecondition.
func (s *Services) TerminateInstance(ctx context.Context, r *protocol.TerminateInstanceRequest) (*protocol.TerminateInstanceResponse, error) {
	if err := s.hub.Terminate(once(ctx, r), r.GetInstanceId(), r.GetReason(), r.GetRecursive()); err != nil {
		return nil, wireError(err)
	}
	return &protocol.TerminateInstanceResponse{}, nil
}

// PurgeInstance removes a finished instance: NotFound, FailedPrecondition.
func (s *Services) PurgeInstance(ctx context.Context, r *protocol.PurgeInstanceRequest) (*protocol.PurgeInstanceResponse, error) {
	if err := s.hub.Purge(once(ctx, r), r.GetInstanceId()); err != nil {
		return nil, wireError(err)
	}
	return &protocol.PurgeInstanceResponse{Deleted: 1}, nil
}

// PutFile stores a file: InvalidArgument.
func (s *Services) PutFile(ctx context.Context, r *protocol.PutFileRequest) (*protocol.PutFileResponse, error) {
	if s.files == nil {
		return nil, status.Error(codes.Unimplemented, "this host stores no files")
	}
	url, err := s.files.Put(ctx, r.GetName(), r.GetContentType(), r.GetBody())
	if err != nil {
		return nil, wireError(err)
	}
	return &protocol.PutFileResponse{Url: url}, nil
}

// payloadChunk is the size of the chunks of GetPayload.
const payloadChunk = 1 << 20

// GetPayload reads a stored payload: InvalidArgument, NotFound.
func (s *Services) GetPayload(r *protocol.GetPayloadRequest, out grpc.ServerStreamingServer[protocol.PayloadChunk]) error {
	if !history.IsPayloadRef(r.GetReference()) {
		return status.Error(codes.InvalidArgument, "not a payload reference")
	}
	text, err := s.hub.Payload(out.Context(), r.GetReference())
	if err != nil {
		return wireError(err)
	}
	for rest := []byte(text); len(rest) > 0; {
		n := min(payloadChunk, len(rest))
		if err := out.Send(&protocol.PayloadChunk{Data: rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// wireError chooses the status code of every error that leaves for an app.
func wireError(err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, taskhub.ErrNotFound), errors.Is(err, storage.ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, taskhub.ErrInstanceExists):
		code = codes.AlreadyExists
	case errors.Is(err, taskhub.ErrTerminal), errors.Is(err, taskhub.ErrInvalidState):
		code = codes.FailedPrecondition
	case errors.Is(err, taskhub.ErrInvalidArgument):
		code = codes.InvalidArgument
	case errors.Is(err, taskhub.ErrUnavailable), errors.Is(err, taskhub.ErrBusy):
		// To an app they are one thing: send it again. The text says which it was.
		code = codes.Unavailable
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Error(code, err.Error())
}

func instance(in *taskhub.Instance, payloads bool, err error) (*protocol.GetInstanceResponse, error) {
	if errors.Is(err, taskhub.ErrNotFound) {
		return &protocol.GetInstanceResponse{}, nil
	}
	if err != nil {
		return nil, wireError(err)
	}
	st := &protocol.InstanceStatus{
		InstanceId: in.ID, Name: in.Name, Version: in.Version, Status: in.Status,
		CreatedTime: stamp(in.Created), LastUpdatedTime: stamp(in.Updated), Failure: in.Failure,
	}
	if payloads {
		st.Input, st.Output, st.CustomStatus = history.WrapText(in.Input), history.WrapText(in.Output), history.WrapText(in.CustomStatus)
	}
	return &protocol.GetInstanceResponse{Exists: true, Status: st}, nil
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
