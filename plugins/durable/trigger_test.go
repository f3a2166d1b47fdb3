package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/plugins/protocol"
)

func onTest(settings any) Trigger { return Trigger{Type: "testTrigger", Settings: settings} }

func (s *stream) invocation() *protocol.InvocationResult {
	s.t.Helper()
	for len(s.invocations) == 0 {
		s.next()
	}
	r := s.invocations[0]
	s.invocations = s.invocations[1:]
	return r
}

func TestInvocations(t *testing.T) {
	type in struct{ N int }
	app := NewApp("test")
	Function(app, "Double", onTest(nil), func(ctx context.Context, v in) (int, error) {
		if Info(ctx) != (ActivityInfo{}) {
			return 0, fmt.Errorf("it knows of an activity: %+v", Info(ctx))
		}
		return 2 * v.N, nil
	})
	Function(app, "Nothing", onTest(nil), func(context.Context, json.RawMessage) (struct{}, error) { return struct{}{}, nil })
	Function(app, "Panic", onTest(nil), func(context.Context, struct{}) (int, error) { panic("ouch") })
	Function(app, "Goexit", onTest(nil), func(context.Context, struct{}) (int, error) { runtime.Goexit(); return 0, nil })
	Activity(app, "Act", func(context.Context, int) (int, error) { return 0, nil })
	h, _ := connect(t, app)
	s := openWork(t, h)
	tests := []struct{ name, payload, result, errorType string }{
		{"Double", `{"N":21}`, "42", ""},
		{"double", "", "0", ""},
		{"Nothing", "[1]", "", ""},
		{"Double", `{"N":"x"}`, "", "*fmt.wrapError"},
		{"Panic", "", "", "panic"},
		{"Goexit", "", "", "*errors.errorString"},
		{"Missing", "", "", "FunctionNotFound"},
		{"Act", "1", "", "FunctionNotFound"}, // is an activity
	}
	for n, tt := range tests {
		id := uint64(n + 1)
		s.send(&protocol.HostFrame{Invocations: []*protocol.Invocation{{Work: id, Function: tt.name, Payload: []byte(tt.payload)}}})
		r := s.invocation()
		if r.Work != id || string(r.Result) != tt.result || r.Failure.GetErrorType() != tt.errorType {
			t.Errorf("%s(%s): %v", tt.name, tt.payload, r)
		}
	}
	if s.credit[protocol.Triggered] != initialCredit {
		t.Errorf("credit %d after all is answered", s.credit[protocol.Triggered])
	}
}

func TestCancelsReachTheTriggeredFunction(t *testing.T) {
	began := make(chan struct{})
	app := NewApp("test")
	Function(app, "Wait", onTest(nil), func(ctx context.Context, _ int) (int, error) {
		close(began)
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	h, _ := connect(t, app)
	s := openWork(t, h)
	s.send(&protocol.HostFrame{Invocations: []*protocol.Invocation{{Work: 5, Function: "Wait"}}})
	<-began
	s.send(&protocol.HostFrame{Cancels: []uint64{5}})
	if got := s.invocation().Failure.GetErrorMessage(); got != errUnwanted.Error() {
		t.Error(got)
	}
}

func TestTriggersAreDescribed(t *testing.T) {
	fn := func(context.Context, int) (int, error) { return 0, nil }
	app := NewApp("test")
	Function(app, "F", onTest(map[string]any{"path": "x"}), fn)
	b := app.describe().Functions[0].Bindings[0]
	if b.Type != "testTrigger" || b.Direction != "in" || b.Properties != `{"path":"x"}` {
		t.Errorf("binding %v", b)
	}
	Function(app, "NoType", Trigger{}, fn)
	Function(app, "List", onTest([]int{1}), fn)
	Function(app, "Chan", onTest(make(chan int)), fn)
	Function[int, int](app, "Nil", onTest(nil), nil)
	for n, want := range []string{`"NoType": the trigger has no type`, `"List": settings`, `"Chan": settings`, `"Nil": the function is nil`} {
		if len(app.problems) != 4 || !strings.Contains(app.problems[n].Error(), want) {
			t.Errorf("problems %v, want %s", app.problems, want)
		}
	}
}
