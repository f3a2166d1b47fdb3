package taskhub

import (
	"context"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/routing"
)

// Status is the runtime status of an instance (F§4.1);
// history.StatusName spells it as the HTTP API does.
type Status = history.Status

// Client is what a user of a task hub can ask for: the HTTP API, the durable
// client binding and the CLI all go through it. An answer without error means
// that the request is committed; it survives the loss of every host. Where no answer
// comes, a request that changes something can be sent again under one WithRequestID.
//
// Errors that a caller can act on are ErrNotFound, ErrInstanceExists, ErrTerminal,
// ErrInvalidState, ErrInvalidArgument, ErrBusy and ErrUnavailable.
type Client interface {
	// Start creates an instance, or answers ErrInstanceExists when the id belongs
	// to a live instance. The id of a finished instance is taken over: its history
	// and output go.
	Start(ctx context.Context, r StartRequest) (StartResult, error)
	// Get reads an instance's committed state.
	Get(ctx context.Context, id string, opt GetOptions) (*Instance, error)
	// Wait returns when the instance has become terminal, with what Get then returns, or
	// with ctx's error. An id that is taken over at that moment shows its new instance.
	Wait(ctx context.Context, id string, opt GetOptions) (*Instance, error)
	// History reads the committed events of the present execution.
	History(ctx context.Context, id string) ([]*history.HistoryEvent, error)
	// List reads one page of instances in the order of their creation per partition.
	List(ctx context.Context, q Query) (Page, error)

	// RaiseEvent delivers an external event: ErrNotFound, ErrTerminal.
	RaiseEvent(ctx context.Context, id, name string, data *string) error
	// Terminate ends an instance, and its children when recursive: ErrNotFound, ErrTerminal.
	Terminate(ctx context.Context, id, reason string, recursive bool) error
	// Suspend and Resume hold and release an instance: ErrNotFound, ErrTerminal,
	// ErrInvalidState when it is already so.
	Suspend(ctx context.Context, id, reason string) error
	Resume(ctx context.Context, id, reason string) error
	// Purge removes one finished instance: ErrNotFound, ErrInvalidState while it runs.
	Purge(ctx context.Context, id string) error
	// PurgeBy removes the finished instances that match and says how many.
	PurgeBy(ctx context.Context, q Query) (int, error)
}

// Errors of Client. They are returned wrapped with the instance id.
var (
	ErrNotFound        = core.ErrNotFound
	ErrInstanceExists  = core.ErrInstanceExists
	ErrTerminal        = core.ErrTerminal
	ErrInvalidState    = core.ErrInvalidState
	ErrInvalidArgument = core.ErrInvalidArgument
	// ErrBusy means that a request that changes something was refused, because too much
	// waits already for the store or for another partition. It has changed nothing and may
	// be sent again after a while, under the same request id if it has one.
	ErrBusy = core.ErrBusy
	// ErrPayloadTooLarge means that a payload exceeds maxPayloadBytes.
	ErrPayloadTooLarge = partition.ErrPayloadTooLarge
	// ErrUnavailable means that the request was not answered and may be sent again:
	// the partition is moving, or the store cannot be reached.
	ErrUnavailable = routing.ErrUnavailable
)

// Errors of Open that a person mends: the hub was written by a newer version or is no hub,
// or it keeps its leases elsewhere than this host.
var (
	ErrFormat = layout.ErrFormat
	ErrLeases = layout.ErrLeases
)

// StartRequest says what to start.
type StartRequest struct {
	Name    string            // orchestrator
	ID      string            // instance id; empty: 32 hex digits, random or out of the request id
	Input   *string           // JSON text; nil: none
	Version string            // empty: unversioned
	StartAt time.Time         // zero: now; the instance is Pending until then
	Tags    map[string]string // kept with the instance, inherited by children
}

// StartResult says which instance it is and what happened (F§14 K5).
type StartResult struct {
	ID       string
	Replaced bool // a finished instance had the id; it is gone
}

// GetOptions chooses what Get and Wait load.
type GetOptions struct {
	// Payloads asks for input and output as well; large ones are read from the store.
	Payloads bool
}

// Instance is the committed state of an instance.
type Instance struct {
	ID        string
	Name      string
	Version   string
	Execution string
	Parent    string // instance id; empty for a top-level instance
	Status    Status
	Created   time.Time // of the present execution's instance row
	Updated   time.Time
	Completed time.Time // zero while it runs
	// Input and Output are JSON text, nil when there is none or it was not asked
	// for. Output holds a failure's message, or the reason of a termination, as a
	// JSON string.
	Input, Output *string
	CustomStatus  *string // JSON text
	Failure       *history.TaskFailureDetails
	Tags          map[string]string
}

// Query filters instances. Zero fields do not filter.
type Query struct {
	Statuses    []Status
	CreatedFrom time.Time
	CreatedTo   time.Time
	IDPrefix    string
	Payloads    bool   // load input and output
	Top         int    // page size; 0: 100
	Token       string // of the page before; "": the first
}

// Page is one page of a List. Token is empty on the last page; no page before the
// last is empty.
type Page struct {
	Instances []*Instance
	Token     string
}
