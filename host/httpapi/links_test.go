package httpapi

import (
	"crypto/tls"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
)

func TestLinksEncode(t *testing.T) {
	l := Links{"https://h", "My Hub=/+"}
	p := l.Payload(`a b"é+%`)
	want := `https://h` + BasePath + `/instances/a%20b%22%C3%A9+%25/raiseEvent/{eventName}?taskHub=My+Hub%3D%2F%2B&connection=Storage`
	if p.SendEventPostURI != want {
		t.Errorf("got  %s\nwant %s", p.SendEventPostURI, want)
	}
	// The hand-written encoding is encoding/json's, but for the escaping of '&'.
	var back Payload
	if err := json.Unmarshal(p.appendJSON(nil), &back); err != nil || back != p {
		t.Errorf("decoded %+v, %v; want %+v", back, err, p)
	}
	var std strings.Builder
	enc := json.NewEncoder(&std)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		t.Fatal(err)
	}
	if got := string(p.appendJSON(nil)); got != strings.TrimSpace(std.String()) {
		t.Errorf("got  %s\nwant %s", got, std.String())
	}
}

// A link that an instance's answer holds leads back to the instance.
func TestLinksLeadBack(t *testing.T) {
	for _, id := range []string{"plain", "a b", "a+b", "50%", "ä:ö", "a;b&c=d", `q"uote`, "..", "x%2Fy"} {
		c := newFake(instance(id, history.Completed))
		h := New(Options{Client: c, TaskHub: "Hub"})
		p := Links{Authority: "", TaskHub: "Hub"}.Payload(id)
		if w := do(h, "GET", "/"+p.StatusQueryGetURI, ""); w.Code != 200 {
			t.Errorf("%q: %s: got %d", id, p.StatusQueryGetURI, w.Code)
		}
	}
}

func TestAuthority(t *testing.T) {
	tests := []struct {
		name      string
		host      string
		tls       bool
		forwarded []string // host, proto
		want      string
	}{
		{"of the request", "h:7071", false, nil, "http://h:7071"},
		{"over TLS", "h", true, nil, "https://h"},
		{"HTTP/1.0", "", false, nil, "http://localhost"},
		{"forwarded, not trusted", "h", false, []string{"f", "https"}, "http://h"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = tt.host
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.forwarded != nil {
				r.Header.Set("X-Forwarded-Host", tt.forwarded[0])
				r.Header.Set("X-Forwarded-Proto", tt.forwarded[1])
			}
			w := httptest.NewRecorder()
			New(Options{Client: newFake()}).ServeHTTP(w, r)
			var body struct{ Links map[string]string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSuffix(body.Links["status"], "/admin/host/status"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
