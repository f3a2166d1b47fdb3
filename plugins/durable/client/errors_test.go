package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnswersBecomeErrors(t *testing.T) {
	const state = `{"Message":"wrong","ExceptionMessage":"x is held","ExceptionType":"InvalidState"}`
	tests := []struct {
		name  string
		reply reply
		want  error
		text  string
	}{
		{"bad request", reply{code: 400, body: `{"Message":"m","ExceptionMessage":"no","ExceptionType":"InvalidArgument"}`}, ErrInvalidArgument, "(400: no)"},
		{"a bare string", reply{code: 400, body: `"give a date"`}, ErrInvalidArgument, "(400: give a date)"},
		{"who are you", reply{code: 401}, ErrUnauthorized, "(401)"},
		{"forbidden", reply{code: 403}, ErrUnauthorized, "(403)"},
		{"no such instance", reply{code: 404}, ErrNotFound, "(404)"},
		{"it exists", reply{code: 409, body: `{"Message":"exists","ExceptionType":"InstanceAlreadyExists"}`}, ErrInstanceExists, "(409: exists)"},
		{"it is held", reply{code: 409, body: state}, ErrInvalidState, "(409: x is held)"},
		{"it has ended", reply{code: 410}, ErrTerminal, "(410)"},
		{"too large", reply{code: 413, body: `{"Message":"m"}`}, ErrPayloadTooLarge, "(413: m)"},
		{"busy", reply{code: 429, retryAfter: "7"}, ErrBusy, "(429)"},
		{"inside the host", reply{code: 500, body: `{"Message":"wrong"}`}, ErrInternal, "(500: wrong)"},
		{"not there yet", reply{code: 501}, ErrNotImplemented, "(501)"},
		{"a proxy without a host", reply{code: 502, body: "<h1>" + strings.Repeat("x", 1000)}, ErrUnavailable, "xxx...)"},
		{"unavailable", reply{code: 503, retryAfter: "7"}, ErrUnavailable, "(503)"},
		{"a proxy that gave up", reply{code: 504}, ErrUnavailable, "(504)"},
		{"a teapot", reply{code: 418}, nil, "unexpected answer (418)"},
		{"success of another kind", reply{code: 200}, nil, "unexpected answer (200)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := clientOf(once, tt.reply)
			err := c.Suspend(t.Context(), "x", "")
			var e *Error
			if !errors.As(err, &e) || e.Code != tt.reply.code || tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && e.Err != nil {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "suspend x: ") || !strings.HasSuffix(err.Error(), tt.text) {
				t.Errorf("text %q, want suspend x: ... %s", err, tt.text)
			}
			if want := tt.reply.retryAfter != ""; (e.RetryAfter == 7*time.Second) != want {
				t.Errorf("retry after %v", e.RetryAfter)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	c, _ := clientOf(once, reply{})
	if err := c.Suspend(t.Context(), "x", ""); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errCut) {
		t.Errorf("got %v, want ErrUnavailable and what broke", err)
	}
	gone := errors.New("gone home")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := c.Suspend(ctx, "x", ""); !errors.Is(err, gone) || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want the cause of the context's end", err)
	}
}

func TestAnswerThatIsNoJSON(t *testing.T) {
	c, _ := clientOf(once, reply{code: http.StatusOK, body: "<html>"})
	if _, err := c.Get(t.Context(), "x", GetOptions{}); err == nil || !strings.Contains(err.Error(), "get x") {
		t.Errorf("got %v", err)
	}
}

func TestInputThatIsNoJSON(t *testing.T) {
	c, h := clientOf(once, reply{code: http.StatusAccepted})
	_, err := c.Start(t.Context(), StartRequest{Name: "Order", Input: func() {}})
	if !errors.Is(err, ErrInvalidArgument) || !errors.Is(c.RaiseEvent(t.Context(), "x", "e", func() {}), ErrInvalidArgument) || len(h.requests) > 0 {
		t.Errorf("got %v after %d requests, want ErrInvalidArgument after none", err, len(h.requests))
	}
}
