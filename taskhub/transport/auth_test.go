package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// logbook is the output of a logger that tests read.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logbook) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

// waitFor polls: a log line comes from another goroutine than what it is about.
func (l *logbook) waitFor(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); l.count(what) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q but:\n%s", what, l.b.String())
		}
	}
}

func logsTo(l *logbook) func(*GRPC, *GRPCOptions) {
	return func(_ *GRPC, o *GRPCOptions) { o.Log = hclog.New(&hclog.LoggerOptions{Output: l}) }
}

func TestStrangersAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(o *GRPCOptions)
	}{
		{"another key", func(o *GRPCOptions) { o.Key = key(2) }},
		{"another hub by the same key", func(o *GRPCOptions) { o.Hub = "other" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asker, asked := &logbook{}, &logbook{}
			hb := newHand()
			b := open(t, hb, logsTo(asked))
			a := open(t, newHand(), logsTo(asker), func(_ *GRPC, o *GRPCOptions) { tt.change(o) })
			for range 3 {
				if _, err := a.Peer(b.Address()).Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
					t.Errorf("Call: %v", err)
				}
			}
			asker.waitFor(t, "hub's key")
			asked.waitFor(t, "hub's key")
			if n := asker.count("hub's key"); n > 1 {
				t.Errorf("the log says it %d times", n)
			}
			if n := asked.count("hub's key"); n > 1 {
				t.Errorf("the log of the other side says it %d times", n)
			}
		})
	}
}

// Each side checks for itself: a stranger that accepts everybody gets in nowhere.
func TestEachSideChecks(t *testing.T) {
	strange, strangeDial, err := tlsConfigs("0123abcd", key(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the one that is asked", func(t *testing.T) {
		hb := newHand()
		hb.call = func(context.Context, *Request) *Response { t.Error("a stranger is answered"); return &Response{} }
		b := open(t, hb)
		for name, certificates := range map[string][]tls.Certificate{"with another key": strangeDial.Certificates, "without a certificate": nil} {
			conn, err := tls.Dial("tcp", b.Address(), &tls.Config{Certificates: certificates, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err == nil {
				_, err = conn.Read(make([]byte, 1)) // in TLS 1.3 the refusal comes after the handshake
				conn.Close()
			}
			if err == nil { // an alert, or a reset that overtook it
				t.Errorf("%s: something is said to a stranger", name)
			}
		}
	})
	t.Run("the one that asks", func(t *testing.T) {
		c := strange.Clone()
		c.ClientAuth, c.VerifyConnection = tls.NoClientCert, nil
		c.NextProtos = []string{"h2"}
		listener, err := tls.Listen("tcp", "127.0.0.1:0", c)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		heard := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
				conn.Close()
			}
			heard <- err
		}()
		if _, err := open(t, newHand()).Peer(listener.Addr().String()).Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("Call: %v", err)
		}
		if err := next(t, "the refusal", heard); err == nil {
			t.Error("something is said to a stranger")
		}
	})
}

func TestPlainTCPIsRefused(t *testing.T) {
	log := &logbook{}
	b := open(t, newHand(), logsTo(log))
	for range 3 {
		conn, err := net.Dial("tcp", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_, _ = io.Copy(io.Discard, conn) // until it is closed
		conn.Close()
	}
	log.waitFor(t, "does not speak TLS")
	if n := log.count("does not speak TLS"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
}

func TestKeyDeterminesTheAuthority(t *testing.T) {
	a, _, err := tlsConfigs("h", key(1))
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := tlsConfigs("h", key(1))
	if err != nil {
		t.Fatal(err)
	}
	leaf := a.Certificates[0].Leaf
	for _, at := range []time.Time{notBefore, checkedAt, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: b.RootCAs, CurrentTime: at, DNSName: "durafunc-h"}); err != nil {
			t.Errorf("in %d: %v", at.Year(), err)
		}
	}
	if _, _, err := tlsConfigs("h", key(1)[1:]); err == nil {
		t.Error("a short key is taken")
	}
}

func TestTold(t *testing.T) {
	told := told{limit: 2}
	if !told.first("a") || told.first("a") || !told.first("b") || told.first("c") {
		t.Error("each once, and no more than the limit")
	}
	if told.forget("a"); !told.first("a") {
		t.Error("what is forgotten is told again")
	}
}
