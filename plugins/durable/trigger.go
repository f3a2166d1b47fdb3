package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Trigger says what starts a function that is registered by Function.
type Trigger struct {
	// Type is the binding's type, such as "timerTrigger". Which ones there are is the
	// host's business: it refuses a function whose trigger it does not know.
	Type string
	// Settings are the binding's further fields: what encodes as one JSON object; nil: none.
	Settings any
}

// binding is what Describe tells of the trigger.
func (t Trigger) binding() (*protocol.Binding, error) {
	b := &protocol.Binding{Type: t.Type, Name: "trigger", Direction: "in"}
	if t.Type == "" {
		return nil, errors.New("the trigger has no type")
	}
	if t.Settings == nil {
		return b, nil
	}
	text, err := json.Marshal(t.Settings)
	if err != nil {
		return nil, fmt.Errorf("settings of the trigger: %w", err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, errors.New("settings of the trigger: must encode as one JSON object")
	}
	b.Properties = string(text)
	return b, nil
}

// Function registers a function that something outside the task hub triggers. In is what
// the trigger hands over and Out what it gets back, both as JSON. Whether a call is
// repeated when it fails is the trigger's business. ctx is cancelled when the result is no
// longer wanted; Client(ctx) and Logger(ctx) are those of the function.
func Function[In, Out any](app *App, name string, t Trigger, fn func(ctx context.Context, in In) (Out, error)) {
	b, err := t.binding()
	if fn == nil {
		err = errors.New("the function is nil")
	}
	if err != nil {
		app.problem(name, err)
		return
	}
	app.add(&function{name: name, kind: protocol.Triggered, binding: b, call: typed(fn)})
}

// runInvocation runs one call of a triggered function.
func (s *session) runInvocation(_ int, item protocol.Work) {
	w := item.(*protocol.Invocation)
	ctx, cancel := s.begin(w)
	res := invocationResults.Get().(*protocol.InvocationResult)
	defer func() { s.end(cancel, res) }()
	s.r.invoke(ctx, s.client, w, res)
}

// invoke runs one invocation into res.
func (r *runner) invoke(ctx context.Context, client *HostClient, w *protocol.Invocation, res *protocol.InvocationResult) {
	res.Work = w.Work
	f := r.app.find(protocol.Triggered, w.Function)
	if f == nil {
		res.Failure = r.app.notFound(protocol.Triggered, w.Function)
		return
	}
	c := &activityContext{Context: ctx, log: r.log.With("function", f.name), client: client}
	var in *wrapperspb.StringValue
	if len(w.Payload) > 0 {
		in = wrapperspb.String(string(w.Payload))
	}
	var out *wrapperspb.StringValue
	f.run(c, in, &out, &res.Failure)
	res.Result = []byte(out.GetValue()) // a Goexit does not get here, and has no result
}
