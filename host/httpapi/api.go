// Package httpapi is the HTTP management API of a task hub (F§3) and the part of
// the host administration API that needs no keys (F§7.3). It translates requests
// into calls of taskhub.Client and back; it holds no state of its own.
//
// Paths are matched on the escaped path, segment by segment, because clients put
// instance ids into paths with and without encoding. Mount the handler as it is:
// http.ServeMux would clean "//" and "..", which an id may contain.
package httpapi

import (
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub"
)

// BasePath is where the management API stands (F§3.1 W1).
const BasePath = "/runtime/webhooks/durabletask"

// Defaults of Options.
const (
	DefaultMaxPayloadBytes = 64 << 20
	DefaultConnection      = "Storage"
)

// Options says what to serve. Client is needed; all else has a default.
type Options struct {
	Client taskhub.Client
	// Host answers the administration routes. Without it they are 404, and the
	// management API counts as ready.
	Host Host
	// Orchestrators tells which orchestrators exist; nil: nobody knows.
	Orchestrators Orchestrators
	// UnknownFunctionsAtOnce refuses to start an orchestrator that Orchestrators
	// does not have (F§1.1 O4). Otherwise the instance waits for it (F§14 O4).
	UnknownFunctionsAtOnce bool

	// TaskHub is the hub's name. A request for another hub is refused.
	TaskHub string
	// Connection is the name that links carry for the store; DefaultConnection.
	Connection string
	// Code is the key that links carry; empty: none is needed.
	Code string
	// BaseURL replaces scheme and host of the request in links, as in
	// "https://functions.example.com"; empty: as the request says.
	BaseURL string
	// UseForwardedHost takes them from X-Forwarded-Host and X-Forwarded-Proto if
	// both are there (F§3.1 W16). Set it only behind a proxy that sets both.
	UseForwardedHost bool
	// MaxPayloadBytes bounds a request body; DefaultMaxPayloadBytes.
	MaxPayloadBytes int64
	// Version of the host, for the welcome and status answers.
	Version string

	// Middleware stands before every route; authentication goes there. It has to let
	// /admin/host/ping through without a key (F§7.3). nil: none.
	Middleware func(http.Handler) http.Handler
	// Log receives what went wrong on our side; nil: nothing is logged.
	Log hclog.Logger
}

// Orchestrators tells what the live function apps have. Names are compared
// without letter case (F§1.1 O3). Its methods may be called concurrently.
type Orchestrators interface {
	HasOrchestrator(name string) bool
	// OrchestratorNames lists them in the order in which a message shows them.
	OrchestratorNames() []string
}

// Host is what the administration routes ask. Its methods may be called
// concurrently.
type Host interface {
	// Ready says whether requests can be served at all; it is asked each time, so
	// it must be cheap (F§3.1 W17).
	Ready() bool
	Status() HostStatus
	// Functions lists the loaded functions by name.
	Functions() []Function
}

// New returns the handler. It may serve any number of requests concurrently.
func New(o Options) http.Handler {
	if o.Connection == "" {
		o.Connection = DefaultConnection
	}
	if o.MaxPayloadBytes <= 0 {
		o.MaxPayloadBytes = DefaultMaxPayloadBytes
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	a := &api{Options: o, now: time.Now}
	var h http.Handler = http.HandlerFunc(a.serve)
	if o.Middleware != nil {
		h = o.Middleware(h)
	}
	return a.recovering(h)
}

type api struct {
	Options
	now func() time.Time
}

// recovering keeps one broken request from taking the host down with it. net/http
// would recover too, but drop the connection without an answer.
func (a *api) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				a.Log.Error("request handler panicked", "method", r.Method, "path", r.URL.Path, "error", p,
					"stack", string(debug.Stack()))
				writeError(w, http.StatusInternalServerError, errorBody{Message: msgInternal})
			}
		}()
		next.ServeHTTP(w, r)
	})
}
