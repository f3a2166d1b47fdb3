package host

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestShutdownAnswersWhatWasAccepted: a connection that was accepted when the host begins
// to stop gets an answer to the request that comes after it.
func TestShutdownAnswersWhatWasAccepted(t *testing.T) {
	accepting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "answer")
	})}
	var p pendingConns
	p.watch(s)
	accepted := make(chan struct{})
	note := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		note(c, state)
		if state == http.StateNew {
			close(accepted)
		}
	}
	go func() { _ = p.serve(s, accepting) }()
	conn, err := net.Dial("tcp", accepting.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-accepted
	ended := make(chan struct{})
	go func() {
		p.shutdown(t.Context(), s, accepting)
		close(ended)
	}()
	<-p.ended // it has begun
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "answer" {
		t.Errorf("got %q, %v", text, err)
	}
	<-ended
}
