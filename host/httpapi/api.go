// Package httpapi is the HTTP management API of a task hub (F§3) and the part of
// the host administration API that needs no keys (F§7.3). It translates requests
// into calls of taskhub.Client and back; it holds no state of its own.
//
// Paths are matched on the escaped path, segment by segment, because clients put
// instance ids into paths with and without encoding. Requests must come as the client
// sent them: http.ServeMux would clean "//" and "..", which an id may contain.
package httpapi

import (
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub"
)

// Where the API stands, beside "/" itself; paths are compared without regard to case.
const (
	// BasePath begins the paths of the management API (F§3.1 W1).
	BasePath = "/runtime/webhooks/durabletask"
	// AdminPath begins the paths of the administration API (F§7.3).
	AdminPath = "/admin"
)

// DefaultMaxPayloadBytes is the greatest request body, if Options name none.
const DefaultMaxPayloadBytes = 64 << 20

// Options says what to serve. Client is needed; all else has a default.
type Options struct {
	Client taskhub.Client
	// Host answers the administration routes. Without it they are 404, the
	// management API counts as ready, and nobody knows which orchestrators exist.
	Host Host
	// UnknownFunctionsAtOnce refuses to start an orchestrator that Host does not list
	// (F§1.1 O4). Otherwise the instance waits for it (F§14 O4).
	UnknownFunctionsAtOnce bool

	// TaskHub is the hub's name. A request for another hub is refused.
	TaskHub string
	// MaxPayloadBytes bounds a request body; DefaultMaxPayloadBytes.
	MaxPayloadBytes int64
	// Version of the host, for the welcome and status answers.
	Version string
	// Log receives what went wrong on our side; nil: nothing is logged.
	Log hclog.Logger
}

// Host is what the API asks of the host that it runs in. Its methods may be called
// concurrently.
type Host interface {
	// Ready reports whether requests can be served at all; it is asked each time, so
	// it must be cheap (F§3.1 W17).
	Ready() bool
	Status() HostStatus
	// Functions lists the loaded functions by name.
	Functions() []Function
	// Orchestrators lists the names of the orchestrators that the live function apps
	// have, in the order in which a message shows them.
	Orchestrators() []string
}

// New returns the handler. It may serve any number of requests concurrently.
func New(o Options) http.Handler {
	if o.MaxPayloadBytes <= 0 {
		o.MaxPayloadBytes = DefaultMaxPayloadBytes
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	return http.HandlerFunc((&api{Options: o, now: time.Now}).serve)
}

type api struct {
	Options
	now func() time.Time
}

// Recover is middleware that answers 500 when a handler panics. net/http would recover
// too, but drop the connection without an answer.
func Recover(log hclog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				switch p := recover(); p {
				case nil:
				case http.ErrAbortHandler:
					panic(p)
				default:
					log.Error("request handler panicked", "method", r.Method, "path", r.URL.Path, "error", p,
						"stack", string(debug.Stack()))
					writeError(w, http.StatusInternalServerError, errorBody{Message: msgInternal})
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
}
