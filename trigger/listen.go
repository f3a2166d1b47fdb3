package trigger

import (
	"context"
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Bound is a function and the trigger that starts it.
type Bound struct {
	Function string
	Trigger  *protocol.Binding
}

// Env is what a listener may use of its host. Its funcs may be called concurrently.
type Env struct {
	// Invoke calls a function of this host with a payload in JSON and returns what it
	// answers, or an error when it fails or ctx ends first. It never calls twice; after an
	// error the function may have run.
	Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)
	// Handle gives h the HTTP requests that match a pattern of http.ServeMux, until
	// remove is called.
	Handle func(pattern string, h http.Handler) (remove func(), err error)
	// Log is named after the kind and tells the function.
	Log hclog.Logger
}

// Service waits for what starts one function: it serves a route, polls a queue, or keeps
// a schedule.
type Service interface {
	// Start returns when the service runs, or with an error when nothing of it does: it
	// is tried again. It returns soon after ctx ends; a service that runs does not end
	// with ctx.
	Start(ctx context.Context) error
	// Stop ends the service and returns when it begins no invocation any more and those
	// that it has begun are over. It returns soon after ctx ends. It is called once, after
	// a Start that succeeded.
	Stop(ctx context.Context) error
}
