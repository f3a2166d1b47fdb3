package s3_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// TestMinIOEnforcesExpiry: what a frozen host signed in time and sent too late is refused
// by the store itself, and told as such.
func TestMinIOEnforcesExpiry(t *testing.T) {
	s := miniotest.Start(t).Open(t)
	if err := s.SendExpired(t.Context(), "late", []byte("x")); !errors.Is(err, storage.ErrExpired) || errors.Is(err, storage.ErrDenied) {
		t.Errorf("got %v, want ErrExpired and no denial", err)
	} else {
		wantText(t, "late", err, "status 403", "create")
	}
	if _, _, err := s.Get(t.Context(), "late"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get of what came too late: %v", err)
	}
	// The same refusal for a key that is there: nothing is said about an earlier attempt.
	if _, err := s.Create(t.Context(), "there", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.SendExpired(t.Context(), "there", []byte("x")); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	if low, high, ok := s.ClockOffset(); !ok || low > time.Second || high < -time.Second {
		t.Errorf("a store on this machine is ahead by %v to %v, known: %v", low, high, ok)
	}
	if s.ServerName() != "MinIO" {
		t.Errorf("the server is %q", s.ServerName())
	}
}

// TestMinIOVerifiesTheBody: with an expiring signature the body is covered by its checksum.
func TestMinIOVerifiesTheBody(t *testing.T) {
	s := miniotest.Start(t).Open(t)
	if err := s.SendDamaged(t.Context(), "damaged", []byte("x")); err == nil {
		t.Error("a body that does not match its checksum was stored")
	}
	if _, _, err := s.Get(t.Context(), "damaged"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
}

// TestRefusalIsReadByItsDate: a refusal counts as expired if the store's clock was past
// the end of the signature, and as a denial else.
func TestRefusalIsReadByItsDate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		late   time.Duration // of the answer's date
		want   error
	}{
		{"in time", 403, 0, storage.ErrDenied},
		{"after the end", 403, 10 * time.Minute, storage.ErrExpired},
		{"after the end, other status", 401, 10 * time.Minute, storage.ErrExpired},
		{"a conflict is a conflict at any time", 412, 10 * time.Minute, storage.ErrConflict},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("X-Amz-Expires") == "" || r.Header.Get("Authorization") != "" {
				t.Errorf("%s: %s is not signed in the query", tt.name, r.Method)
			}
			w.Header().Set("Date", time.Now().Add(tt.late).UTC().Format(http.TimeFormat))
			w.WriteHeader(tt.status)
		}))
		// A store each: the first answer would tell it that the clocks differ.
		ctx := storage.Until(t.Context(), time.Now().Add(time.Minute))
		if _, err := openAt(t, server.URL, "").Create(ctx, "k", []byte("v")); !errors.Is(err, tt.want) {
			t.Errorf("%s: create: got %v, want %v", tt.name, err, tt.want)
		}
		if err := openAt(t, server.URL, "").Delete(ctx, "k"); tt.status != 412 && !errors.Is(err, tt.want) {
			t.Errorf("%s: delete: got %v, want %v", tt.name, err, tt.want)
		}
		server.Close()
	}
}

// TestSignsInTheStoresTime: the moment is given in the time of the store, which its answers
// have shown.
func TestSignsInTheStoresTime(t *testing.T) {
	for _, ahead := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		var end time.Time
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("X-Amz-Date") != "" {
				from, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
				left, err2 := time.ParseDuration(q.Get("X-Amz-Expires") + "s")
				if err := errors.Join(err, err2); err != nil {
					t.Error(err)
				}
				end = from.Add(left)
			}
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.Header().Set("ETag", `"e"`)
		}))
		s := openAt(t, server.URL, "")
		if _, _, err := s.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Minute)
		if _, err := s.Create(storage.Until(t.Context(), until), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		if want := until.Add(ahead); end.After(want) || want.Sub(end) > 30*time.Second {
			t.Errorf("a store %v ahead: good until %v, want shortly before %v", ahead, end, want)
		}
		server.Close()
	}
}

// TestTooLateIsNotSent: without a second left nothing goes out.
func TestTooLateIsNotSent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request was sent")
	}))
	defer server.Close()
	s := openAt(t, server.URL, "")
	ctx := storage.Until(t.Context(), time.Now())
	_, err := s.Create(ctx, "k", []byte("v"))
	if !errors.Is(err, storage.ErrExpired) {
		t.Errorf("create: %v", err)
	}
	wantText(t, "create", err, "nothing was sent")
	if _, err := s.Replace(ctx, "k", "tag", []byte("v")); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("replace: %v", err)
	}
	if err := s.Delete(ctx, "k"); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("delete: %v", err)
	}
}
