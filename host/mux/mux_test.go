package mux_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/durafunc/durafunc/host/mux"
)

// says answers with its name and the value of the path's {id}.
func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+r.PathValue("id"))
	})
}

func ask(h http.Handler, method, path string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func handle(t *testing.T, m *mux.Mux, pattern string, h http.Handler) (remove func()) {
	t.Helper()
	remove, err := m.Handle(pattern, h)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

func TestRoutes(t *testing.T) {
	m := mux.New(says("rest"))
	m.Mount("/admin/", says("admin"))
	m.Mount("/files/", says("files"))
	handle(t, m, "GET /api/orders/{id}", says("order "))
	handle(t, m, "/{id}/x", says("any "))
	tests := []struct{ name, method, path, want string }{
		{"nothing matches", "GET", "/", "rest"},
		{"below a mount", "GET", "/files/a/b", "files"},
		{"a mount in other case", "GET", "/Admin/host", "admin"},
		{"an escaped mount", "GET", "/%61dmin/host", "admin"},
		{"a mount's path is not cleaned", "GET", "/admin//a/../b", "admin"},
		{"a mount without its slash", "GET", "/admin", "rest"},
		{"a mount is no part of a longer name", "GET", "/adminx/y", "rest"},
		{"a mount comes before a pattern", "GET", "/admin/x", "admin"},
		{"pattern", "GET", "/api/orders/7", "order 7"},
		{"pattern in another method", "POST", "/api/orders/7", "rest"},
		{"pattern with an escape", "GET", "/api/orders/a%2Fb", "order a/b"},
		{"unclean path that nothing takes", "GET", "//favicon.ico", "rest"},
		{"another pattern", "POST", "/a/x", "any a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, got := ask(m, tt.method, tt.path); code != 200 || got != tt.want {
				t.Errorf("got %d %q, want %q", code, got, tt.want)
			}
		})
	}
}

func TestPatternsComeAndGo(t *testing.T) {
	m := mux.New(says("rest"))
	remove := handle(t, m, "GET /a/{id}", says("first "))
	if _, got := ask(m, "GET", "/a/1"); got != "first 1" {
		t.Fatalf("got %q", got)
	}
	remove()
	if _, got := ask(m, "GET", "/a/1"); got != "rest" {
		t.Errorf("after the removal: got %q", got)
	}
	handle(t, m, "GET /a/{id}", says("second "))
	remove() // once more does not remove its successor
	if _, got := ask(m, "GET", "/a/1"); got != "second 1" {
		t.Errorf("got %q", got)
	}
}

func TestBadPatterns(t *testing.T) {
	m := mux.New(says("rest"))
	m.Mount("/admin/", says("admin"))
	handle(t, m, "/a/{id}", says("first "))
	tests := []struct {
		name, pattern string
		want          error
	}{
		{"malformed", "/a/{", mux.ErrPattern},
		{"empty", "", mux.ErrPattern},
		{"registered", "/a/{id}", mux.ErrPattern},
		{"the same by another name", "/a/{x}", mux.ErrPattern},
		{"neither is more specific", "/{x}/b", mux.ErrPattern},
		{"reserved", "/admin/x", mux.ErrReserved},
		{"reserved in other case, with a method", "GET /ADMIN/{x}", mux.ErrReserved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := m.Handle(tt.pattern, says("bad ")); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if _, got := ask(m, "GET", "/a/1"); got != "first 1" {
				t.Errorf("what was registered answers %q", got)
			}
		})
	}
}

func TestMiddlewareStandsBeforeEverything(t *testing.T) {
	mark := func(name string) mux.Middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, name+" ")
				if r.Header.Get("Refuse") != name {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
	m := mux.New(says("rest"), mark("outer"), mark("inner"))
	m.Mount("/files/", says("files"))
	handle(t, m, "/a", says("pattern"))
	for path, want := range map[string]string{"/": "rest", "/files/x": "files", "/a": "pattern"} {
		if _, got := ask(m, "GET", path); got != "outer inner "+want {
			t.Errorf("%s: got %q", path, got)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/files/x", nil)
	r.Header.Set("Refuse", "inner")
	m.ServeHTTP(w, r)
	if got := w.Body.String(); got != "outer inner " {
		t.Errorf("refused: got %q", got)
	}
}
