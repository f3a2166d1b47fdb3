// Package faultproxy stands between one client and an HTTP server and does to their
// requests what networks and overloaded servers do: it cuts, delays, refuses, and holds
// them. It changes nothing in what it passes on, so that signed requests stay valid.
package faultproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Kind is what happened to a request.
type Kind string

// What may happen to a request.
const (
	Passed     Kind = "passed"
	CutBefore  Kind = "cut before"  // the server has not seen it
	CutAfter   Kind = "cut after"   // the server has answered, the client has not heard it
	Refused    Kind = "503"         // the server has not seen it
	RefusedFor Kind = "503 after"   // the server has carried it out
	Delayed    Kind = "delayed"     // passed on late, also when the client has given up
	Held       Kind = "held"        // swallowed by a black hole
	HeldThen   Kind = "landed late" // swallowed, and passed on when the hole closed
)

// Faults are probabilities by kind; what remains is passed on at once.
type Faults struct {
	CutBefore, CutAfter, Refused, RefusedFor, Delayed float64
	// MinDelay and MaxDelay bound a delay.
	MinDelay, MaxDelay time.Duration
	// BlackHole swallows every request until the faults change. One in four then still
	// reaches the server, and nobody hears the answer.
	BlackHole bool
}

// Proxy is a running proxy on a loopback port of its own.
type Proxy struct {
	target  *url.URL
	server  *http.Server
	forward *http.Transport
	url     string

	mu      sync.Mutex
	rng     *rand.Rand
	faults  Faults
	changed chan struct{} // closed when faults change
	counts  map[Kind]int
}

// forwardTimeout bounds a request to the server; the client's patience does not count.
const forwardTimeout = 30 * time.Second

// Start starts a proxy before the server at target, a base URL. rng decides the fate of
// requests; nobody else may use it.
func Start(target string, rng *rand.Rand) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{
		target: u, url: "http://" + l.Addr().String(), rng: rng, changed: make(chan struct{}), counts: map[Kind]int{},
		forward: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = p.server.Serve(l) }() // ends with Close
	return p, nil
}

// URL is the base URL under which the client finds the server.
func (p *Proxy) URL() string { return p.url }

// Set replaces the faults; the zero value ends them.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// Counts is how many requests met which fate so far.
func (p *Proxy) Counts() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() error {
	p.Set(Faults{})
	err := p.server.Close()
	p.forward.CloseIdleConnections()
	return err
}

// fate is what is to happen to one request.
type fate struct {
	kind    Kind
	delay   time.Duration
	changed <-chan struct{}
}

func (p *Proxy) draw() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, v := p.faults, fate{kind: Passed, changed: p.changed}
	at := p.rng.Float64()
	if f.BlackHole {
		v.kind = Held
		if at < 0.25 {
			v.kind = HeldThen
		}
		p.counts[v.kind]++
		return v
	}
	for _, c := range []struct {
		kind Kind
		p    float64
	}{{CutBefore, f.CutBefore}, {CutAfter, f.CutAfter}, {Refused, f.Refused}, {RefusedFor, f.RefusedFor}, {Delayed, f.Delayed}} {
		if at < c.p {
			v.kind = c.kind
			break
		}
		at -= c.p
	}
	if v.kind == Delayed {
		v.delay = f.MinDelay + time.Duration(p.rng.Float64()*float64(f.MaxDelay-f.MinDelay))
	}
	p.counts[v.kind]++
	return v
}

// errCut ends a connection without an answer.
var errCut = http.ErrAbortHandler

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(errCut) // the client has left in the middle; net/http knows this value
	}
	v := p.draw()
	switch v.kind {
	case CutBefore:
		panic(errCut)
	case Refused:
		refuse(w)
		return
	case Held:
		<-v.changed
		panic(errCut)
	case HeldThen:
		<-v.changed
	case Delayed:
		time.Sleep(v.delay)
	}
	a, err := p.pass(r, body)
	switch {
	case err != nil || v.kind == CutAfter || v.kind == HeldThen:
		panic(errCut)
	case v.kind == RefusedFor:
		refuse(w)
		return
	}
	for k, list := range a.header {
		w.Header()[k] = list
	}
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body) // an error means that the client has left
}

// refuse answers as S3 does when it is asked too often.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

// pass sends a request to the server and reads the whole answer. It does not end with
// the client's: a request that has left cannot be called back.
func (p *Proxy) pass(r *http.Request, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), forwardTimeout)
	defer cancel()
	u := *r.URL
	u.Scheme, u.Host = p.target.Scheme, p.target.Host
	out, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.URL = &u
	out.Host = r.Host // it is signed
	out.Header = r.Header.Clone()
	out.Header.Del("Expect") // the body is here already
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // net/http would add its own
	}
	resp, err := p.forward.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return &answer{code: resp.StatusCode, header: resp.Header, body: text}, nil
}
