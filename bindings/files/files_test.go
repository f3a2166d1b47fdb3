package files_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/bindings/files"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

func newStore(t *testing.T) (*files.Store, storage.Store, *time.Time) {
	now := time.Now().Truncate(time.Second)
	objects := memory.New()
	return files.New(files.Options{Objects: objects, BaseURL: "http://host:1/", Now: func() time.Time { return now }}), objects, &now
}

func TestPutAndServe(t *testing.T) {
	s, _, now := newStore(t)
	body := []byte("firmware \x00\x01")
	url, err := s.Put(context.Background(), "image.bin", "application/x-image", body)
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(url, "http://host:1")
	if !ok || !strings.HasPrefix(path, files.Path) || len(path) != len(files.Path)+32+1+len("image.bin") {
		t.Fatalf("url %q", url)
	}
	h := s.Handler(hclog.NewNullLogger())
	do := func(method, path string, header ...string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		if len(header) == 2 {
			r.Header.Set(header[0], header[1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	res := do("GET", path)
	got, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !bytes.Equal(got, body) || res.Header.Get("Content-Type") != "application/x-image" {
		t.Errorf("GET: %d %q %q", res.StatusCode, got, res.Header.Get("Content-Type"))
	}
	if !strings.Contains(res.Header.Get("Content-Security-Policy"), "sandbox") ||
		!strings.Contains(res.Header.Get("Cache-Control"), "max-age=86400") {
		t.Errorf("headers %v", res.Header)
	}
	tests := []struct {
		name, method, path string
		want               int
	}{
		{"head", "HEAD", path, 200},
		{"post", "POST", path, 405},
		{"another name", "GET", strings.Replace(path, "image", "other", 1), 404},
		{"another id", "GET", files.Path + strings.Repeat("0", 32) + "/image.bin", 404},
		{"short id", "GET", files.Path + "00/image.bin", 404},
		{"no name", "GET", files.Path + strings.Repeat("0", 32), 404},
		{"up and away", "GET", files.Path + strings.Repeat("0", 32) + "/../hub.json", 404},
		{"upper case id", "GET", strings.ToUpper(path), 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if res := do(tt.method, tt.path); res.StatusCode != tt.want {
				t.Errorf("%s %s: %d, want %d", tt.method, tt.path, res.StatusCode, tt.want)
			}
		})
	}
	if res := do("GET", path, "Range", "bytes=0-3"); res.StatusCode != 206 {
		t.Errorf("range: %d", res.StatusCode)
	}
	*now = now.Add(files.DefaultTTL - time.Second)
	if res := do("GET", path); res.StatusCode != 200 {
		t.Errorf("before expiry: %d", res.StatusCode)
	}
	*now = now.Add(time.Second)
	if res := do("GET", path); res.StatusCode != 410 {
		t.Errorf("after expiry: %d", res.StatusCode)
	}
}

func TestPutRefuses(t *testing.T) {
	s, _, _ := newStore(t)
	tests := []struct{ why, name, contentType string }{
		{"empty", "", ""},
		{"slash", "a/b", ""},
		{"hidden", ".profile", ""},
		{"space", "a b", ""},
		{"long", strings.Repeat("a", 201), ""},
		{"header injection", "a.txt", "text/plain\r\nX: y"},
		{"no type", "a.txt", "nonsense;"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			_, err := s.Put(context.Background(), tt.name, tt.contentType, nil)
			if !errors.Is(err, files.ErrInvalid) || !errors.Is(err, taskhub.ErrInvalidArgument) {
				t.Errorf("Put: %v, want ErrInvalid", err)
			}
		})
	}
}

// flaky loses the answer to its first write.
type flaky struct {
	storage.Store
	lost bool
}

func (f *flaky) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	tag, err := f.Store.Create(ctx, key, body)
	if err == nil && !f.lost {
		f.lost = true
		return "", errors.New("connection reset")
	}
	return tag, err
}

func TestPutAfterLostAnswer(t *testing.T) {
	objects := memory.New()
	s := files.New(files.Options{Objects: &flaky{Store: objects}})
	if _, err := s.Put(context.Background(), "a.txt", "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range objects.List(context.Background(), files.Prefix, "") {
		n++
	}
	if n != 1 {
		t.Errorf("%d objects, want 1", n)
	}
}

func TestSweep(t *testing.T) {
	s, objects, now := newStore(t)
	ctx := context.Background()
	if _, err := s.Put(ctx, "a.txt", "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("fresh: %d, %v", n, err)
	}
	*now = now.Add(files.DefaultTTL + 2*time.Hour)
	if n, err := s.Sweep(ctx, time.Hour); n != 1 || err != nil {
		t.Errorf("expired: %d, %v", n, err)
	}
	for e := range objects.List(ctx, "", "") {
		t.Errorf("left: %s", e.Key)
	}
}
