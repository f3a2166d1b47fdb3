package host

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// arrivalTime is how long a host that stops waits for the request of a connection that
	// it has accepted; some clients connect before they have anything to say.
	arrivalTime = 250 * time.Millisecond
	// answerTime is how long requests may take then to be answered. Long polls would hold
	// the host up; their clients ask again.
	answerTime = 2 * time.Second
)

// arrivals are the connections whose first request has not come to the handler. An
// http.Server hangs up without an answer when it has read a request and finds that
// Shutdown has begun meanwhile, which to a client is a failed request.
type arrivals struct {
	mu    sync.Mutex
	fresh map[net.Conn]bool
	left  chan struct{} // made when shutdown waits, closed when there are none
	ended chan struct{} // closed when no connection is accepted any more
}

type arrivalKey struct{}

// watch makes s tell of its connections. It is to be called before serve.
func (a *arrivals) watch(s *http.Server) {
	a.fresh, a.ended = map[net.Conn]bool{}, make(chan struct{})
	s.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			a.mu.Lock()
			defer a.mu.Unlock()
			a.fresh[c] = true
		case http.StateClosed, http.StateHijacked:
			a.gone(c)
		}
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, arrivalKey{}, sync.OnceFunc(func() { a.gone(c) }))
	}
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arrived, ok := r.Context().Value(arrivalKey{}).(func()); ok {
			arrived()
		}
		next.ServeHTTP(w, r)
	})
}

// serve is s.Serve.
func (a *arrivals) serve(s *http.Server, accepting net.Listener) error {
	defer close(a.ended)
	return s.Serve(accepting)
}

func (a *arrivals) gone(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.fresh, c)
	if len(a.fresh) == 0 && a.left != nil {
		close(a.left)
		a.left = nil
	}
}

// shutdown ends s when every request that was taken is answered: no connection is accepted
// any more, what was accepted is read, what was read is answered. serve must have begun.
func (a *arrivals) shutdown(ctx context.Context, s *http.Server, accepting net.Listener) {
	_ = accepting.Close()
	<-a.ended // the last one that was accepted is among the fresh; all of them go on
	a.mu.Lock()
	left := make(chan struct{})
	if len(a.fresh) == 0 {
		close(left)
	} else {
		a.left = left
	}
	a.mu.Unlock()
	late := time.NewTimer(arrivalTime)
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
