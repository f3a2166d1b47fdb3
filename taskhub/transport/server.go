package transport

import (
	"context"
	"fmt"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// service is what other hosts see of this one.
type service struct {
	UnimplementedPeerServer
	g *GRPC
}

// Call implements PeerServer. The handler's failures are answers; a failure of gRPC
// always means that the host was not reached.
func (s *service) Call(ctx context.Context, r *Request) (answer *Response, err error) {
	if !s.g.enter(&s.g.calls) {
		return nil, status.Error(codes.Unavailable, "the host is stopping")
	}
	defer s.g.calls.Done()
	defer func() {
		if p := recover(); p != nil {
			s.g.log.Error("answering another host panicked", "error", p, "stack", string(debug.Stack()))
			answer, err = &Response{Code: Code_OTHER, Text: fmt.Sprintf("panic: %v", p)}, nil
		}
	}()
	answer = s.g.handler.Call(ctx, r)
	if answer == nil {
		return &Response{Code: Code_OTHER, Text: "no answer"}, nil
	}
	if size := answer.SizeVT(); size > MaxMessage {
		return &Response{Code: Code_PAYLOAD_TOO_LARGE, Text: fmt.Sprintf("the answer has %d bytes, more than %d", size, MaxMessage)}, nil
	}
	return answer, nil
}

// Posts implements PeerServer.
func (s *service) Posts(stream grpc.ClientStreamingServer[Post, Ended]) error {
	if !s.g.enter(&s.g.wg) {
		return stream.SendAndClose(&Ended{})
	}
	over := make(chan struct{})
	go func() {
		defer s.g.wg.Done()
		defer close(over)
		for {
			p, err := stream.Recv()
			if err != nil {
				return
			}
			s.g.guarded("a post", func() { s.g.handler.Post(p) })
		}
	}()
	select {
	case <-over: // the other side has closed, or is gone: then nobody hears the answer
	case <-s.g.closing:
	}
	return stream.SendAndClose(&Ended{})
}

// Ping implements PeerServer.
func (s *service) Ping(context.Context, *Ended) (*Ended, error) { return &Ended{}, nil }

// guarded calls the handler: what it does wrong must not end the process.
func (g *GRPC) guarded(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("handling "+what+" of another host panicked", "error", p, "stack", string(debug.Stack()))
		}
	}()
	f()
}
