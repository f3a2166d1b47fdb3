package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// grpcPeer is the way to an address: one link after another.
type grpcPeer struct {
	g       *GRPC
	address string

	mu     sync.Mutex
	link   *link     // nil: not connected, nor trying to
	fails  int       // how often in a row it could not be made
	retry  time.Time // before that no Post tries again
	closed bool
}

var _ Peer = (*grpcPeer)(nil)

// use is the present link or a new one; nil when the peer is closed, or when it is too
// early to try again and not urgent.
func (p *grpcPeer) use(urgent bool) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil
	case p.link != nil:
		return p.link
	case !urgent && time.Now().Before(p.retry):
		return nil
	}
	cc, err := p.g.connect(p.address)
	if err != nil || !p.g.enter(&p.g.wg) {
		if err == nil {
			cc.Close()
		}
		return nil
	}
	p.link = newLink(p, cc)
	go p.link.run()
	return p.link
}

// broke is called by a link, in its own goroutine, when it has ended. made reports whether
// it had ever been connected.
func (p *grpcPeer) broke(l *link, made bool) {
	p.mu.Lock()
	if p.link == l {
		p.link = nil
	}
	if made {
		p.fails = 0
	}
	wait := min(p.g.timing.minBackoff<<min(p.fails, 10), p.g.timing.maxBackoff)
	if !made {
		p.fails++
	}
	// Peers of one dead host should not come back in step.
	p.retry = time.Now().Add(wait/2 + rand.N(wait/2+1))
	closed := p.closed
	p.mu.Unlock()
	if !closed {
		p.g.guarded("the disconnection", func() { p.g.handler.Disconnected(p.address) })
	}
}

// Call implements Peer.
func (p *grpcPeer) Call(ctx context.Context, r *Request) (*Response, error) {
	if size := r.SizeVT(); size > MaxMessage {
		return &Response{Code: Code_PAYLOAD_TOO_LARGE, Text: fmt.Sprintf("the request has %d bytes, more than %d", size, MaxMessage)}, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l := p.use(true)
	if l == nil {
		return nil, fmt.Errorf("%w: %s: connection is closed", ErrUnreachable, p.address)
	}
	answer, err := l.client.Call(ctx, r)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case status.Code(err) == codes.DeadlineExceeded:
		return nil, context.DeadlineExceeded // theirs was a little early
	}
	return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, p.address, err)
}

// Post implements Peer.
func (p *grpcPeer) Post(m *Post) {
	if l := p.use(false); l != nil {
		l.post(m)
	}
}

// Close implements Peer.
func (p *grpcPeer) Close() {
	p.g.mu.Lock()
	if p.g.peers[p.address] == p {
		delete(p.g.peers, p.address)
	}
	p.g.mu.Unlock()
	if l := p.shut(); l != nil {
		l.cancel()
	}
}

// finish closes the peer once what waits has been sent, or after the grace.
func (p *grpcPeer) finish(grace time.Duration) {
	if l := p.shut(); l != nil {
		l.finish(grace)
	}
}

func (p *grpcPeer) shut() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.link
}
