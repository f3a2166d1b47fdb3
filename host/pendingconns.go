package host

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// pendingTime is how long a host that stops waits for the request of a connection that
	// it has accepted; some clients connect before they have anything to say.
	pendingTime = 250 * time.Millisecond
	// answerTime is how long requests may take then to be answered. Long polls would hold
	// the host up; their clients ask again.
	answerTime = 2 * time.Second
)

// pendingConns are the connections whose first request has not come to the handler. An
// http.Server hangs up without an answer when it has read a request and finds that
// Shutdown has begun meanwhile, which to a client is a failed request.
type pendingConns struct {
	mu    sync.Mutex
	open  map[net.Conn]bool
	left  chan struct{} // made when shutdown waits, closed when there are none
	ended chan struct{} // closed when no connection is accepted any more
}

type pendingKey struct{}

// watch makes s tell of its connections. It is to be called before serve.
func (p *pendingConns) watch(s *http.Server) {
	p.open, p.ended = map[net.Conn]bool{}, make(chan struct{})
	s.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.open[c] = true
		case http.StateClosed, http.StateHijacked:
			p.gone(c)
		}
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, pendingKey{}, sync.OnceFunc(func() { p.gone(c) }))
	}
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arrived, ok := r.Context().Value(pendingKey{}).(func()); ok {
			arrived()
		}
		next.ServeHTTP(w, r)
	})
}

// serve is s.Serve.
func (p *pendingConns) serve(s *http.Server, accepting net.Listener) error {
	defer close(p.ended)
	return s.Serve(accepting)
}

func (p *pendingConns) gone(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	if len(p.open) == 0 && p.left != nil {
		close(p.left)
		p.left = nil
	}
}

// shutdown ends s when every request that was taken is answered: no connection is accepted
// any more, what was accepted is read, what was read is answered. serve must have begun.
func (p *pendingConns) shutdown(ctx context.Context, s *http.Server, accepting net.Listener) {
	_ = accepting.Close()
	<-p.ended // the last one that was accepted is among them; all of them go on
	p.mu.Lock()
	left := make(chan struct{})
	if len(p.open) == 0 {
		close(left)
	} else {
		p.left = left
	}
	p.mu.Unlock()
	late := time.NewTimer(pendingTime)
	defer late.Stop()
	select {
	case <-left:
	case <-late.C:
	case <-ctx.Done():
	}
	answered, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if s.Shutdown(answered) != nil {
		_ = s.Close()
	}
}
