package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever is asked is asked again while a host cannot answer, and a change under one id.
func TestEveryRequestIsRepeated(t *testing.T) {
	for _, tt := range operations {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, h := clientOf(Options{}, reply{code: 503}, reply{code: 429}, reply{}, tt.success)
				if err := tt.do(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if keys := slices.Compact(h.keys()); len(h.requests) != 4 || len(keys) != 1 || (keys[0] != "") != tt.changes {
					t.Errorf("%d requests under the ids %q", len(h.requests), keys)
				}
			})
		})
	}
}

func TestRetry(t *testing.T) {
	tests := []struct {
		name        string
		options     Options
		replies     []reply
		want        error
		attempts    int // 0: many
		least, most time.Duration
	}{
		{"off", once, []reply{{code: 503}}, ErrUnavailable, 1, 0, 0},
		{"off, no answer", once, []reply{{}}, ErrUnavailable, 1, 0, 0},
		{"the host says when", Options{}, []reply{{code: 429, retryAfter: "3"}, {code: 202}}, nil, 2, 3 * time.Second, 4 * time.Second},
		{"the host does not say when", Options{}, []reply{{code: 503}, {code: 202}}, nil, 2, leastPause, 2 * leastPause},
		{"as long as the options say", Options{RetryFor: 10 * time.Second}, []reply{{code: 503}}, ErrUnavailable, 0, 7 * time.Second, 10 * time.Second},
		{"not when that is too late", Options{RetryFor: 5 * time.Second}, []reply{{code: 429, retryAfter: "60"}}, ErrBusy, 1, 0, 0},
		{"not what the host refuses", Options{}, []reply{{code: 409}}, ErrInvalidState, 1, 0, 0},
		{"not what breaks in the host", Options{}, []reply{{code: 500}}, ErrInternal, 1, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, h := clientOf(tt.options, tt.replies...)
				began := time.Now()
				err := c.Suspend(t.Context(), "x", "")
				if !errors.Is(err, tt.want) || tt.attempts > 0 && len(h.requests) != tt.attempts {
					t.Errorf("got %v after %d requests, want %v after %d", err, len(h.requests), tt.want, tt.attempts)
				}
				if took := h.at[len(h.at)-1].Sub(began); took < tt.least || took > tt.most {
					t.Errorf("the last attempt is after %v, want %v to %v", took, tt.least, tt.most)
				}
			})
		})
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clientOf(Options{}, reply{code: 503, retryAfter: "20"})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := c.Suspend(ctx, "x", "")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) || time.Since(began) != 5*time.Second {
			t.Errorf("got %v after %v, want the context's end after 5 s, and why it came to that", err, time.Since(began))
		}
	})
}

// roundTripper is a transport of one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhereNobodyListensIsSaidAtOnce(t *testing.T) {
	attempts := 0
	c := New("http://hub.test", Options{HTTP: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		attempts++
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	})}})
	if err := c.Ping(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || attempts != 1 {
		t.Errorf("got %v after %d attempts", err, attempts)
	}
}

// A host that is frozen does not answer; the next attempt may reach another one.
func TestAttemptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := New("http://hub.test", Options{Timeout: 4 * time.Second, HTTP: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if attempts++; attempts == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody, Header: http.Header{}}, nil
		})}})
		began := time.Now()
		err := c.Suspend(t.Context(), "x", "")
		if took := time.Since(began); err != nil || attempts != 2 || took < 4*time.Second || took > 5*time.Second {
			t.Errorf("got %v after %d attempts and %v", err, attempts, took)
		}
	})
}
