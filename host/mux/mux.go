// Package mux is where everything that a host serves over HTTP meets: the management
// API, files, and the routes of triggers, behind one chain of middleware.
//
// There are two kinds of routes. A mount takes all paths below a prefix as the client
// sent them; http.ServeMux would clean "//" and "..", which an instance id may contain.
// A pattern is one of http.ServeMux, for routes that come and go while the host runs.
package mux

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Middleware stands in front of a handler: it may refuse a request, change it, or watch
// its answer.
type Middleware func(http.Handler) http.Handler

// Errors of Handle.
var (
	// ErrPattern means that http.ServeMux refuses the pattern: it is malformed, or it
	// conflicts with one that is registered.
	ErrPattern = errors.New("invalid pattern")
	// ErrReserved means that the pattern's path lies below a mount, which would always win.
	ErrReserved = errors.New("path is reserved")
)

// Mux serves HTTP. Handle and ServeHTTP may be called concurrently; Mount only before
// the first of them.
type Mux struct {
	chain  http.Handler
	rest   http.Handler
	mounts []mount
	served atomic.Pointer[http.ServeMux] // of all patterns; never nil

	mu       sync.Mutex
	patterns map[string]http.Handler
}

type mount struct {
	prefix string
	http.Handler
}

// New makes a Mux whose requests pass the chain, the first middleware outermost, before
// they are routed. What no route takes goes to rest.
func New(rest http.Handler, chain ...Middleware) *Mux {
	m := &Mux{rest: rest, patterns: make(map[string]http.Handler)}
	m.served.Store(http.NewServeMux())
	m.chain = http.HandlerFunc(m.route)
	for i := len(chain) - 1; i >= 0; i-- {
		m.chain = chain[i](m.chain)
	}
	return m
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.chain.ServeHTTP(w, r) }

// route asks the mounts, then the patterns. A path that matches a pattern in another
// method counts as not found, as everywhere in the host's API.
func (m *Mux) route(w http.ResponseWriter, r *http.Request) {
	if h := m.mounted(r.URL.Path); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	served := m.served.Load()
	if _, pattern := served.Handler(r); pattern != "" {
		served.ServeHTTP(w, r) // matches once more, and sets the values of the path
		return
	}
	m.rest.ServeHTTP(w, r)
}

// Mount gives h every path that begins with prefix, which ends in a slash and is
// compared without regard to case. Mounts come before patterns, in the order in which
// they were made.
func (m *Mux) Mount(prefix string, h http.Handler) {
	m.mounts = append(m.mounts, mount{prefix, h})
}

func (m *Mux) mounted(path string) http.Handler {
	for _, mt := range m.mounts {
		if len(path) >= len(mt.prefix) && strings.EqualFold(path[:len(mt.prefix)], mt.prefix) {
			return mt.Handler
		}
	}
	return nil
}

// Handle gives h the requests that match an http.ServeMux pattern, until remove is
// called, which may be done twice: ErrPattern, ErrReserved. Requests that h has by then
// go on.
func (m *Mux) Handle(pattern string, h http.Handler) (remove func(), err error) {
	if slash := strings.IndexByte(pattern, '/'); slash >= 0 && m.mounted(pattern[slash:]) != nil {
		return nil, fmt.Errorf("%w: %q", ErrReserved, pattern)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.patterns[pattern] != nil {
		return nil, fmt.Errorf("%w: %q is registered", ErrPattern, pattern)
	}
	m.patterns[pattern] = h
	if err := m.rebuildLocked(); err != nil {
		delete(m.patterns, pattern)
		return nil, err
	}
	return sync.OnceFunc(func() { m.remove(pattern) }), nil
}

func (m *Mux) remove(pattern string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.patterns, pattern)
	_ = m.rebuildLocked() // fewer patterns cannot conflict
}

// rebuildLocked serves the patterns as they are now, or fails and changes nothing: an
// http.ServeMux forgets no pattern, and panics on a bad one.
func (m *Mux) rebuildLocked() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrPattern, p)
		}
	}()
	next := http.NewServeMux()
	for pattern, h := range m.patterns {
		next.Handle(pattern, h)
	}
	m.served.Store(next)
	return nil
}
