package taskhub

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// switchboard joins hosts in one process: what is posted arrives in order, what is asked
// is answered, unless the host at the address has gone.
type switchboard struct {
	mu   sync.Mutex
	ends map[string]*line
}

func newSwitchboard() *switchboard { return &switchboard{ends: map[string]*line{}} }

// at puts a host on the switchboard.
func (s *switchboard) at(address string) func(*Options) {
	return func(o *Options) {
		o.Network = func(string, []byte) (transport.Network, error) {
			l := &line{board: s, address: address, posts: make(chan *transport.Post, 1000)}
			l.ctx, l.cancel = context.WithCancel(context.Background())
			s.mu.Lock()
			s.ends[address] = l
			s.mu.Unlock()
			return l, nil
		}
	}
}

func (s *switchboard) find(address string) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[address]
}

// cut makes a host unreachable, as if its process had been killed.
func (s *switchboard) cut(address string) {
	s.mu.Lock()
	delete(s.ends, address)
	s.mu.Unlock()
}

// line is one host's end.
type line struct {
	board   *switchboard
	address string
	handler transport.Handler
	posts   chan *transport.Post
	ctx     context.Context
	cancel  context.CancelFunc
	busy    sync.WaitGroup
}

func (l *line) Address() string { return l.address }

func (l *line) Serve(h transport.Handler) {
	l.handler = h
	l.busy.Go(func() {
		for {
			select {
			case p := <-l.posts:
				h.Post(p)
			case <-l.ctx.Done():
				return
			}
		}
	})
}

func (l *line) Peer(address string) transport.Peer { return wire{from: l, to: address} }

func (l *line) Close() {
	l.board.mu.Lock()
	if l.board.ends[l.address] == l {
		delete(l.board.ends, l.address)
	}
	l.board.mu.Unlock()
	l.cancel()
	l.busy.Wait()
}

// wire is the way from one host to an address.
type wire struct {
	from *line
	to   string
}

// latency is how long anything takes from host to host.
const wireLatency = time.Millisecond

func (w wire) Call(ctx context.Context, r *transport.Request) (*transport.Response, error) {
	to := w.from.board.find(w.to)
	if to == nil {
		return nil, transport.ErrUnreachable
	}
	time.Sleep(wireLatency)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(to.ctx, cancel)()
	return to.handler.Call(ctx, proto.Clone(r).(*transport.Request)), nil
}

func (w wire) Post(p *transport.Post) {
	to := w.from.board.find(w.to)
	if to == nil {
		w.from.handler.Disconnected(w.to)
		return
	}
	select {
	case to.posts <- proto.Clone(p).(*transport.Post):
	case <-to.ctx.Done():
	}
}

func (w wire) Close() {}
