package transport

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	// maxWaiting and maxWaitingPosts bound what waits to be sent to one host, in bytes
	// and posts. The engine sends again what does not arrive, so dropping is right where
	// waiting would cost memory.
	maxWaiting      = 16 << 20
	maxWaitingPosts = 1 << 16
)

// link is one connection to a host, from the attempt to make it to its end. It never
// comes back: the peer makes another one.
type link struct {
	p      *grpcPeer
	cc     *grpc.ClientConn
	client PeerClient
	ctx    context.Context // of the connection, not of a call
	cancel context.CancelFunc
	wake   chan struct{} // something is to be sent, or finishing was set

	mu        sync.Mutex
	waiting   []*Post
	bytes     int // of waiting, and of those that are just being sent
	posts     int
	dropped   int // since the queue was last empty
	finishing bool
}

func newLink(p *grpcPeer, cc *grpc.ClientConn) *link {
	l := &link{p: p, cc: cc, client: NewPeerClient(cc), wake: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// run lives as long as the link.
func (l *link) run() {
	g := l.p.g
	defer g.wg.Done()
	made := false
	stream, err := l.client.Posts(l.ctx) // waits until the connection is made
	if err == nil {
		made = true
		var helpers sync.WaitGroup
		helpers.Go(func() {
			err = stream.RecvMsg(&Ended{}) // returns when the stream ends, for whatever reason
			l.cancel()
		})
		helpers.Go(l.ping)
		l.send(stream)
		helpers.Wait()
	}
	finishing := l.end()
	l.cc.Close() // calls on it fail
	if !finishing {
		g.log.Debug("connection to a host has ended", "peer", l.p.address, "made", made, "error", err)
	}
	l.p.broke(l, made)
}

// post queues m, or drops it.
func (l *link) post(m *Post) {
	size := m.SizeVT()
	l.mu.Lock()
	full := l.posts > 0 && (l.bytes+size > maxWaiting || l.posts == maxWaitingPosts) || size > MaxMessage
	first := full && l.dropped == 0
	if full {
		l.dropped++
	} else if !l.finishing {
		l.waiting = append(l.waiting, m)
		l.bytes += size
		l.posts++
	}
	l.mu.Unlock()
	if first {
		l.p.g.log.Warn("too much waits to be sent to a host, posts are dropped", "peer", l.p.address, "bytes", size)
	}
	l.nudge()
}

func (l *link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take is what waits, all of it, so that gRPC flushes it at once.
func (l *link) take() (batch []*Post, finishing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.waiting = l.waiting, nil
	return batch, l.finishing
}

func (l *link) sent(m *Post) {
	size := m.SizeVT()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= size
	if l.posts--; l.posts == 0 {
		l.dropped = 0
	}
}

// send sends what is queued until the link ends or finishes.
func (l *link) send(stream grpc.ClientStreamingClient[Post, Ended]) {
	for {
		batch, finishing := l.take()
		for n, m := range batch {
			batch[n] = nil
			if stream.Send(m) != nil {
				return // RecvMsg knows why, and ends the link
			}
			l.sent(m)
		}
		if finishing {
			_ = stream.CloseSend() // never fails; the answer to it ends the link
			return
		}
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
	}
}

// ping asks again and again whether the host is alive, and ends the link if not.
func (l *link) ping() {
	t := l.p.g.timing
	ticker := time.NewTicker(t.ping)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(l.ctx, t.silence)
		_, err := l.client.Ping(ctx, &Ended{})
		cancel()
		if err != nil {
			l.cancel()
			return
		}
	}
}

// finish lets the link end once everything that waits is sent, or after the grace.
func (l *link) finish(grace time.Duration) {
	l.mu.Lock()
	l.finishing = true
	l.mu.Unlock()
	l.nudge()
	late := time.AfterFunc(grace, l.cancel)
	context.AfterFunc(l.ctx, func() { late.Stop() })
}

// end drops what is left, and reports whether that was wanted.
func (l *link) end() bool {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	finishing := l.finishing
	l.waiting, l.finishing = nil, true
	return finishing
}
