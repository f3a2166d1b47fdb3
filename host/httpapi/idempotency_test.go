package httpapi

import (
	"context"
	"slices"
	"testing"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// listener hears the request ids that requests come with.
type listener struct {
	*fakeClient
	heard []string
}

func (l *listener) hear(ctx context.Context) { l.heard = append(l.heard, taskhub.RequestID(ctx)) }

func (l *listener) Start(ctx context.Context, r taskhub.StartRequest) (taskhub.StartResult, error) {
	l.hear(ctx)
	return l.fakeClient.Start(ctx, r)
}

func (l *listener) RaiseEvent(ctx context.Context, id, name string, data *string) error {
	l.hear(ctx)
	return l.fakeClient.RaiseEvent(ctx, id, name, data)
}

func (l *listener) Terminate(ctx context.Context, id, reason string, recursive bool) error {
	l.hear(ctx)
	return l.fakeClient.Terminate(ctx, id, reason, recursive)
}

func (l *listener) Suspend(ctx context.Context, id, reason string) error {
	l.hear(ctx)
	return l.fakeClient.Suspend(ctx, id, reason)
}

func (l *listener) Resume(ctx context.Context, id, reason string) error {
	l.hear(ctx)
	return l.fakeClient.Resume(ctx, id, reason)
}

func (l *listener) Purge(ctx context.Context, id string) error {
	l.hear(ctx)
	return l.fakeClient.Purge(ctx, id)
}

// The header Idempotency-Key is the request id of whatever changes something.
func TestIdempotencyKey(t *testing.T) {
	tests := []struct{ name, method, path, body string }{
		{"start", "POST", "/orchestrators/Order", "1"},
		{"start with an id", "POST", "/orchestrators/Order/new", "1"},
		{"restart", "POST", "/instances/done/restart", ""},
		{"raise", "POST", "/instances/x/raiseEvent/e", "1"},
		{"terminate", "POST", "/instances/x/terminate", ""},
		{"suspend", "POST", "/instances/x/suspend", ""},
		{"resume", "POST", "/instances/x/resume", ""},
		{"purge", "DELETE", "/instances/done", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &listener{fakeClient: newFake(instance("x", history.Running), instance("done", history.Completed))}
			h := New(Options{Client: l})
			do(h, tt.method, tt.path, tt.body, "Content-Type", "application/json", "idempotency-key", "key 1")
			do(h, tt.method, tt.path, tt.body, "Content-Type", "application/json")
			if !slices.Equal(l.heard, []string{"key 1", ""}) {
				t.Errorf("request ids %q", l.heard)
			}
		})
	}
}

// A key that no request can have is told to the client.
func TestIdempotencyKeyThatIsRefused(t *testing.T) {
	c := newFake(instance("x", history.Running))
	c.next = taskhub.ErrInvalidArgument
	w := do(New(Options{Client: c}), "POST", "/instances/x/suspend", "", "Idempotency-Key", "\xff")
	if w.Code != 400 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
