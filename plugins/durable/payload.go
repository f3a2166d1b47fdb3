package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// maxPayload is the largest payload that fits into one message to the host. What the
// host takes is usually less (maxPayloadBytes of host.json); it says so itself.
const maxPayload = protocol.MaxMessage - 1<<20

// fetchRetry is the first pause after the host could not be asked; it doubles up to a
// second.
const fetchRetry = 20 * time.Millisecond

// resolve reads a payload that the host keeps apart because of its size; other
// payloads are answered as they are. The content of a reference never changes, so an
// orchestrator may wait for it without being less deterministic; for the same reason
// only what stays true is an error: that there is no such payload. Anything else is
// asked again until ctx ends.
func (c *HostClient) resolve(ctx context.Context, p *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if p == nil || !history.IsPayloadRef(p.Value) {
		return p, nil
	}
	for pause := fetchRetry; ; pause = min(2*pause, time.Second) {
		text, err := c.fetch(ctx, p.Value)
		if err == nil {
			return wrapperspb.String(text), nil
		}
		if c.dial == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalidArgument) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (c *HostClient) fetch(ctx context.Context, reference string) (string, error) {
	const what = "read a large payload"
	if c.dial == nil {
		return "", fmt.Errorf("%s: no host: %w", what, ErrUnavailable)
	}
	conn, err := c.connect()
	if err != nil {
		return "", fmt.Errorf("%s: connect to the host: %w: %w", what, ErrUnavailable, err)
	}
	stream, err := protocol.NewHostServicesClient(conn).GetPayload(ctx, &protocol.GetPayloadRequest{Reference: reference})
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, clientError(err))
	}
	var text strings.Builder
	if ref, err := history.ParsePayloadRef(reference); err == nil {
		text.Grow(int(min(ref.Bytes, maxPayload)))
	}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, clientError(err))
		}
		_, _ = text.Write(chunk.Data) // a Builder never fails
	}
}
