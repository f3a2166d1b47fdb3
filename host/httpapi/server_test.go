package httpapi

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
)

// What travels over a real connection: clients put ids into paths as they are, and
// every answer, empty ones included, must leave the connection usable.
func TestOverOneConnection(t *testing.T) {
	srv := httptest.NewServer(New(Options{Client: newFake(instance("a+b:c@d'e", history.Running)), TaskHub: "Hub"}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	tests := []struct {
		method, path string
		code         int
		length       bool // the answer has a body
	}{
		{"GET", "/instances/a+b:c@d'e", 202, true},
		{"POST", "/instances/a+b:c@d'e/terminate", 202, false},
		{"GET", "/instances/none", 404, false},
		{"POST", "/orchestrators/Order", 202, true},
		{"GET", "/instances/", 200, true},
	}
	for _, tt := range tests {
		fmt.Fprintf(conn, "%s %s%s HTTP/1.1\r\nHost: hub.test\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
			tt.method, BasePath, tt.path)
		resp, err := http.ReadResponse(in, &http.Request{Method: tt.method})
		if err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		var body strings.Builder
		if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.code || (body.Len() > 0) != tt.length || resp.ContentLength != int64(body.Len()) {
			t.Errorf("%s %s: got %d, length %d, %q", tt.method, tt.path, resp.StatusCode, resp.ContentLength, &body)
		}
	}
}
