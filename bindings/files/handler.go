package files

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Handler serves GET and HEAD of Path, with ranges. No credentials: the id is the
// secret. 404 without such a file, 410 once it has expired.
func (s *Store) Handler(log hclog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		rest, ok := strings.CutPrefix(r.URL.Path, Path)
		id, name, two := strings.Cut(rest, "/")
		if !ok || !two {
			http.NotFound(w, r)
			return
		}
		f, err := s.Get(r.Context(), id, name)
		switch {
		case errors.Is(err, ErrNotFound):
			http.NotFound(w, r)
		case errors.Is(err, ErrExpired):
			http.Error(w, "file has expired", http.StatusGone)
		case err != nil:
			log.Error("file not served", "file", name, "error", err)
			http.Error(w, "file cannot be read", http.StatusInternalServerError)
		default:
			s.serve(w, r, f)
		}
	})
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request, f *File) {
	left := f.Expires.Sub(s.opt.Now())
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Cache-Control", fmt.Sprintf("private, max-age=%d, immutable", int(left/time.Second)))
	h.Set("Expires", f.Expires.UTC().Format(http.TimeFormat))
	// The host's origin also serves its API and dashboard: a published page must
	// not become script there, whatever its type says.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the URL is the secret
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Body))
}
