package faultproxy

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// server counts what reaches it and echoes the body, and the host that it was asked for.
type server struct {
	seen chan string // bodies
	url  string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{seen: make(chan string, 100)}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.seen <- string(body)
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-URI", r.RequestURI)
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	}))
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func start(t *testing.T, s *server) *Proxy {
	t.Helper()
	p, err := Start(s.url, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func put(ctx context.Context, p *Proxy, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.URL()+"/a%2Fb/c?x=%20y", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
}

// reached reports whether the server has seen a request already.
func (s *server) reached() bool {
	select {
	case <-s.seen:
		return true
	default:
		return false
	}
}

func TestFates(t *testing.T) {
	tests := []struct {
		name    string
		faults  Faults
		kind    Kind
		code    int // 0: the connection is cut
		reaches bool
	}{
		{"no faults", Faults{}, Passed, http.StatusTeapot, true},
		{"cut before the server", Faults{CutBefore: 1}, CutBefore, 0, false},
		{"cut after the server", Faults{CutAfter: 1}, CutAfter, 0, true},
		{"refused before the server", Faults{Refused: 1}, Refused, http.StatusServiceUnavailable, false},
		{"refused after the server", Faults{RefusedFor: 1}, RefusedFor, http.StatusServiceUnavailable, true},
		{"delayed", Faults{Delayed: 1, MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond}, Delayed, http.StatusTeapot, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			p := start(t, s)
			p.Set(tt.faults)
			resp, err := put(t.Context(), p, "body")
			switch {
			case tt.code == 0 && err == nil:
				t.Fatalf("answered %s, want a cut", resp.Status)
			case tt.code != 0 && err != nil:
				t.Fatal(err)
			case tt.code != 0:
				defer resp.Body.Close()
				if resp.StatusCode != tt.code {
					t.Errorf("answered %s, want %d", resp.Status, tt.code)
				}
			}
			if got := s.reached(); got != tt.reaches {
				t.Errorf("reached the server: %v, want %v", got, tt.reaches)
			}
			if n := p.Counts()[tt.kind]; n != 1 {
				t.Errorf("counted %d %s, want 1: %v", n, tt.kind, p.Counts())
			}
		})
	}
}

func TestPassesOnWhatIsSigned(t *testing.T) {
	s := newServer(t)
	p := start(t, s)
	resp, err := put(t.Context(), p, "signed")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "signed" {
		t.Errorf("body is %q, %v", body, err)
	}
	if got, want := resp.Header.Get("X-Host"), strings.TrimPrefix(p.URL(), "http://"); got != want {
		t.Errorf("the server is asked for host %q, want %q as the client has signed", got, want)
	}
	if got, want := resp.Header.Get("X-URI"), "/a%2Fb/c?x=%20y"; got != want {
		t.Errorf("the server is asked for %q, want %q as the client has signed", got, want)
	}
}

func TestDelayedRequestLandsWhenTheClientHasGone(t *testing.T) {
	s := newServer(t)
	p := start(t, s)
	p.Set(Faults{Delayed: 1, MinDelay: 200 * time.Millisecond, MaxDelay: 201 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel() // when the proxy has it: before, it would not be sent at all
		for p.Counts()[Delayed] == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	if resp, err := put(ctx, p, "late"); err == nil { // we were too slow to leave
		_ = resp.Body.Close()
	}
	if body := <-s.seen; body != "late" {
		t.Errorf("the server has seen %q", body)
	}
}

func TestBlackHole(t *testing.T) {
	s := newServer(t)
	p := start(t, s)
	p.Set(Faults{BlackHole: true})
	const sent = 40
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make(chan error, sent)
	for range sent {
		go func() {
			_, err := put(ctx, p, "swallowed")
			errs <- err
		}()
	}
	hosttest.Until(t, "the proxy has all of them", func() bool { return p.Counts()[Held]+p.Counts()[HeldThen] == sent })
	cancel()
	for range sent {
		if err := <-errs; err == nil {
			t.Fatal("a black hole answers")
		}
	}
	if s.reached() {
		t.Fatal("a black hole passes on")
	}
	counts := p.Counts()
	late := counts[HeldThen]
	if late == 0 || late+counts[Held] != sent {
		t.Fatalf("counted %v", counts)
	}
	p.Set(Faults{})
	for range late {
		<-s.seen // they land when it closes
	}
	resp, err := put(t.Context(), p, "after")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if body := <-s.seen; body != "after" {
		t.Errorf("the server has seen %q, want what was sent after", body)
	}
}
