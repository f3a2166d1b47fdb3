package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// Errors of HostClient, wrapped with what was asked for and the host's words.
var (
	ErrNotFound       = errors.New("instance not found")
	ErrInstanceExists = errors.New("instance already exists")
	// ErrInvalidState: the instance has ended, or has not.
	ErrInvalidState = errors.New("instance is in the wrong state")
	// ErrUnavailable: the request was not answered and may be sent again; see WithRequestID.
	ErrUnavailable = errors.New("host is unavailable")
)

// RuntimeStatus is the status of an instance as the HTTP API spells it.
type RuntimeStatus string

// The statuses of an instance.
const (
	StatusRunning        RuntimeStatus = "Running"
	StatusCompleted      RuntimeStatus = "Completed"
	StatusContinuedAsNew RuntimeStatus = "ContinuedAsNew"
	StatusFailed         RuntimeStatus = "Failed"
	StatusCanceled       RuntimeStatus = "Canceled"
	StatusTerminated     RuntimeStatus = "Terminated"
	StatusPending        RuntimeStatus = "Pending"
	StatusSuspended      RuntimeStatus = "Suspended"
)

// InstanceStatus is the committed state of an instance.
type InstanceStatus struct {
	InstanceID  string
	Name        string
	Version     string
	Status      RuntimeStatus
	CreatedTime time.Time
	UpdatedTime time.Time
	// Input, Output and CustomStatus are JSON; nil when there is none or it was
	// not asked for.
	Input, Output, CustomStatus json.RawMessage
	Failure                     *FailureDetails // of a failed instance
}

// HostClient asks the host for what its task hub and its files can do. An answer
// without error is committed. Methods may be called concurrently; see Client.
type HostClient struct {
	dial func() (*grpc.ClientConn, error) // nil: there is no host

	mu   sync.Mutex
	conn *grpc.ClientConn // nil before the first call, and after close
}

// GetOption changes HostClient.Get.
type GetOption interface {
	applyGet(*protocol.GetInstanceRequest)
}

// TerminateOption changes HostClient.Terminate.
type TerminateOption interface {
	applyTerminate(*protocol.TerminateInstanceRequest)
}

// PayloadsOption is what WithPayloads returns.
type PayloadsOption struct{}

// WithPayloads asks for input, output and custom status too.
func WithPayloads() PayloadsOption { return PayloadsOption{} }

func (PayloadsOption) applyGet(r *protocol.GetInstanceRequest) { r.Payloads = true }

// ChildrenOption is what WithChildrenKept returns.
type ChildrenOption struct{}

// WithChildrenKept lets the children of a terminated instance run on.
func WithChildrenKept() ChildrenOption { return ChildrenOption{} }

func (ChildrenOption) applyTerminate(r *protocol.TerminateInstanceRequest) { r.Recursive = false }

// StartAtOption is what WithStartAt returns.
type StartAtOption time.Time

// WithStartAt keeps a new instance pending until then. It is for clients only.
func WithStartAt(t time.Time) StartAtOption { return StartAtOption(t) }

func (o StartAtOption) applyStart(c *call) { c.startAt = timestamppb.New(time.Time(o)) }

// Start creates an instance and returns its id. It fails with ErrInstanceExists
// when the id given belongs to a live instance.
func (c *HostClient) Start(ctx context.Context, name string, in any, opts ...StartOption) (string, error) {
	s := call{kind: kindChild, name: name}
	for _, o := range opts {
		o.applyStart(&s)
	}
	if s.hasID {
		if err := checkInstanceID(s.instanceID); err != nil {
			return "", err
		}
	}
	input, err := encode(in)
	if err != nil {
		return "", invalid("input of %q: %w", name, err)
	}
	r, err := ask(ctx, c, "start "+name, protocol.HostServicesClient.StartInstance, &protocol.StartInstanceRequest{
		Name: name, InstanceId: s.instanceID, Input: input, Version: s.version, Tags: s.tags, StartAt: s.startAt, RequestId: requestID(ctx),
	})
	return r.GetInstanceId(), err
}

// Get reads an instance's state, or fails with ErrNotFound.
func (c *HostClient) Get(ctx context.Context, id string, opts ...GetOption) (*InstanceStatus, error) {
	q := &protocol.GetInstanceRequest{InstanceId: id}
	for _, o := range opts {
		o.applyGet(q)
	}
	r, err := ask(ctx, c, "get "+id, protocol.HostServicesClient.GetInstance, q)
	return instanceStatus(id, r, err)
}

// Wait returns an instance with its payloads when it has ended, or with ctx's error.
func (c *HostClient) Wait(ctx context.Context, id string) (*InstanceStatus, error) {
	r, err := ask(ctx, c, "wait for "+id, protocol.HostServicesClient.WaitForInstance,
		&protocol.GetInstanceRequest{InstanceId: id, Payloads: true})
	return instanceStatus(id, r, err)
}

// RaiseEvent delivers an external event: ErrNotFound, or ErrInvalidState for an
// instance that has ended.
func (c *HostClient) RaiseEvent(ctx context.Context, id, name string, data any) error {
	p, err := encode(data)
	if err != nil {
		return invalid("data of event %q: %w", name, err)
	}
	_, err = ask(ctx, c, "raise "+name+" at "+id, protocol.HostServicesClient.RaiseEvent,
		&protocol.RaiseEventRequest{InstanceId: id, Name: name, Input: p, RequestId: requestID(ctx)})
	return err
}

// Terminate ends an instance and its children: ErrNotFound, ErrInvalidState.
func (c *HostClient) Terminate(ctx context.Context, id, reason string, opts ...TerminateOption) error {
	q := &protocol.TerminateInstanceRequest{InstanceId: id, Reason: reason, Recursive: true, RequestId: requestID(ctx)}
	for _, o := range opts {
		o.applyTerminate(q)
	}
	_, err := ask(ctx, c, "terminate "+id, protocol.HostServicesClient.TerminateInstance, q)
	return err
}

// Purge removes a finished instance: ErrNotFound, or ErrInvalidState while it runs.
func (c *HostClient) Purge(ctx context.Context, id string) error {
	_, err := ask(ctx, c, "purge "+id, protocol.HostServicesClient.PurgeInstance,
		&protocol.PurgeInstanceRequest{InstanceId: id, RequestId: requestID(ctx)})
	return err
}

// PutFile stores a file with the host and returns a URL from which anyone can
// fetch it without credentials until it expires. The name is of letters, digits,
// '.', '-' and '_', at most 200 bytes.
func (c *HostClient) PutFile(ctx context.Context, name string, body []byte, contentType string) (string, error) {
	r, err := ask(ctx, c, "put file "+name, protocol.HostServicesClient.PutFile,
		&protocol.PutFileRequest{Name: name, Body: body, ContentType: contentType})
	return r.GetUrl(), err
}

// ask makes one call.
func ask[Q, R any](ctx context.Context, c *HostClient, what string,
	method func(protocol.HostServicesClient, context.Context, *Q, ...grpc.CallOption) (*R, error), q *Q,
) (*R, error) {
	if c.dial == nil {
		return nil, fmt.Errorf("%s: no host: %w", what, ErrUnavailable)
	}
	conn, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("%s: connect to the host: %w: %w", what, ErrUnavailable, err)
	}
	r, err := method(protocol.NewHostServicesClient(conn), ctx, q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%s: %w", what, clientError(err))
	}
	return r, nil
}

// connect returns the connection. One that could not be made is tried again at
// the next call; gRPC keeps one alive that was made.
func (c *HostClient) connect() (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	conn, err := c.dial()
	if err == nil {
		c.conn = conn
	}
	return conn, err
}

// close ends the connection, if there is one.
func (c *HostClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // the stream has ended: nobody is left to tell
		c.conn = nil
	}
}

// clientError is the one place where codes become errors.
func clientError(err error) error {
	sentinels := map[codes.Code]error{
		codes.NotFound: ErrNotFound, codes.AlreadyExists: ErrInstanceExists, codes.FailedPrecondition: ErrInvalidState,
		codes.InvalidArgument: ErrInvalidArgument, codes.Unavailable: ErrUnavailable,
	}
	if s := sentinels[status.Code(err)]; s != nil {
		return fmt.Errorf("%w (%s)", s, status.Convert(err).Message())
	}
	return err
}

func instanceStatus(id string, r *protocol.GetInstanceResponse, err error) (*InstanceStatus, error) {
	if err != nil {
		return nil, err
	}
	if !r.GetExists() || r.GetStatus() == nil {
		return nil, fmt.Errorf("instance %s: %w", id, ErrNotFound)
	}
	s := r.GetStatus()
	return &InstanceStatus{
		InstanceID: s.InstanceId, Name: s.Name, Version: s.Version, Status: RuntimeStatus(history.StatusName(s.Status)),
		CreatedTime: s.CreatedTime.AsTime(), UpdatedTime: s.LastUpdatedTime.AsTime(),
		Input: raw(s.Input), Output: raw(s.Output), CustomStatus: raw(s.CustomStatus), Failure: fromWire(s.Failure),
	}, nil
}

func raw(p *wrapperspb.StringValue) json.RawMessage {
	if p == nil {
		return nil
	}
	return json.RawMessage(p.Value)
}
