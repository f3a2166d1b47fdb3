package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// SDKVersion is the version of this package as a host sees it.
const SDKVersion = "0.1.0"

type (
	orchestratorFunc func(*OrchestrationContext, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
	callFunc         func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
)

// App is a function app: a name and the functions it registers. Register all
// functions before Serve, from one goroutine.
type App struct {
	name    string
	version string
	// functions holds all kinds by lower-case name: function names are unique in
	// an app without regard to case.
	functions map[string]*function
	// spelled holds them as registered, which is how they are nearly always called.
	spelled  map[string]*function
	problems []error // of registration; Serve reports them
}

type function struct {
	name         string
	kind         protocol.Kind
	binding      *protocol.Binding // its trigger
	orchestrator orchestratorFunc  // of an orchestrator
	call         callFunc          // of the other kinds
}

// NewApp makes an app without functions. The name is what logs and listings show;
// WithVersion adds the author's own version.
func NewApp(name string, opts ...AppOption) *App {
	a := &App{name: name, functions: make(map[string]*function), spelled: make(map[string]*function)}
	if name == "" {
		a.problems = append(a.problems, errors.New("NewApp: the app has no name"))
	}
	for _, o := range opts {
		o.applyApp(a)
	}
	return a
}

// Orchestrator registers an orchestrator: see the package comment for what it may
// do. Its error fails the instance, its result is the instance's output.
func Orchestrator[In, Out any](app *App, name string, fn func(ctx *OrchestrationContext, in In) (Out, error)) {
	if fn == nil {
		app.problem(name, errors.New("the function is nil"))
		return
	}
	b := &protocol.Binding{Type: "orchestrationTrigger", Name: "context", Direction: "in"}
	app.add(&function{name: name, kind: protocol.Orchestrator, binding: b, orchestrator: func(ctx *OrchestrationContext, p *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		var in In
		p, err := ctx.x.resolve(p)
		if err == nil {
			err = decode(p, &in)
		}
		if err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
		out, err := fn(ctx, in)
		if err != nil || ctx.x.next != nil { // the output of an execution that goes on is not kept
			return nil, err
		}
		return encodeResult(out)
	}})
}

// Activity registers an activity: an ordinary function that may do anything. It
// runs at least once for each call; Info(ctx) has a key that is the same each time.
// ctx is cancelled when the result is no longer wanted.
func Activity[In, Out any](app *App, name string, fn func(ctx context.Context, in In) (Out, error)) {
	if fn == nil {
		app.problem(name, errors.New("the function is nil"))
		return
	}
	b := &protocol.Binding{Type: "activityTrigger", Name: "input", Direction: "in"}
	app.add(&function{name: name, kind: protocol.Activity, binding: b, call: typed(fn)})
}

// typed reads the input of fn and writes its result.
func typed[In, Out any](fn func(ctx context.Context, in In) (Out, error)) callFunc {
	return func(ctx context.Context, p *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		var in In
		p, err := Client(ctx).resolve(ctx, p)
		if err == nil {
			err = decode(p, &in)
		}
		if err != nil {
			return nil, NonRetriable(fmt.Errorf("input: %w", err))
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		return encodeResult(out)
	}
}

func encodeResult(out any) (*wrapperspb.StringValue, error) {
	p, err := encode(out)
	if err != nil {
		return nil, NonRetriable(fmt.Errorf("result: %w", err))
	}
	return p, nil
}

func (a *App) add(f *function) {
	key := strings.ToLower(f.name)
	err := history.CheckFunctionName(f.name)
	switch {
	case err != nil:
		a.problem(f.name, err)
	case a.functions[key] != nil:
		a.problem(f.name, fmt.Errorf("registered twice (before as %q)", a.functions[key].name))
	default:
		a.functions[key], a.spelled[f.name] = f, f
	}
}

func (a *App) problem(name string, err error) {
	a.problems = append(a.problems, fmt.Errorf("function %q: %w", name, err))
}

// lookup finds a function without regard to case.
func (a *App) lookup(name string) *function {
	if f := a.spelled[name]; f != nil {
		return f
	}
	return a.functions[strings.ToLower(name)]
}

// find is lookup for a function of a kind; nil: there is none.
func (a *App) find(k protocol.Kind, name string) *function {
	if f := a.lookup(name); f != nil && f.kind == k {
		return f
	}
	return nil
}

// sorted lists the functions in the order of their names.
func (a *App) sorted() []*function {
	fs := make([]*function, 0, len(a.functions))
	for _, f := range a.functions {
		fs = append(fs, f)
	}
	slices.SortFunc(fs, func(x, y *function) int { return strings.Compare(x.name, y.name) })
	return fs
}

// notFoundTypes are the error types of calls that no function serves.
var notFoundTypes = [protocol.Kinds]string{
	protocol.Orchestrator: typeOrchestratorNotFound,
	protocol.Activity:     typeActivityNotFound,
	protocol.Triggered:    typeFunctionNotFound,
}

// notFound is the failure of a call that this app cannot serve (F§1.1 O4).
func (a *App) notFound(k protocol.Kind, name string) *history.TaskFailureDetails {
	var known []string
	for _, f := range a.sorted() {
		if f.kind == k {
			known = append(known, f.name)
		}
	}
	what := k.String() + " function"
	if k == protocol.Triggered {
		what = k.String()
	}
	text := fmt.Sprintf("app %q has no %s %q; it registers none", a.name, what, name)
	if len(known) > 0 {
		text = fmt.Sprintf("app %q has no %s %q; it has: %s", a.name, what, name, strings.Join(known, ", "))
	}
	return &history.TaskFailureDetails{ErrorType: notFoundTypes[k], ErrorMessage: text, IsNonRetriable: true}
}

// describe is what the app tells a host of itself.
func (a *App) describe() *protocol.DescribeResponse {
	d := &protocol.DescribeResponse{AppName: a.name, AppVersion: a.version, Sdk: "durafunc-go", SdkVersion: SDKVersion}
	for _, f := range a.sorted() {
		d.Functions = append(d.Functions, &protocol.Function{Name: f.name, Bindings: []*protocol.Binding{f.binding}})
	}
	return d
}
