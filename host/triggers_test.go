package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/host/mux"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/trigger"
)

// echoKind is the smallest trigger that listens: POST /echo/<function> calls the function
// with the request's body and answers what it returns. It is all that a kind needs.
var echoKind = trigger.Kind{
	Type: "echoTrigger", Trigger: true,
	Listen: func(env trigger.Env, b trigger.Bound) (trigger.Service, error) {
		return &echo{env: env, function: b.Function}, nil
	},
}

type echo struct {
	env      trigger.Env
	function string
	remove   func()
}

func (e *echo) Start(context.Context) (err error) {
	e.remove, err = e.env.Handle("POST /echo/"+e.function, e)
	return err
}

func (e *echo) Stop(context.Context) error {
	e.remove()
	return nil
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		body, err = e.env.Invoke(r.Context(), e.function, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}

// served is the functions of a supervisor with triggers of one type.
func served(triggerType string, names ...string) []supervisor.Function {
	var list []supervisor.Function
	for _, name := range names {
		list = append(list, supervisor.Function{App: "app", FunctionStatus: supervisor.FunctionStatus{
			Name: name, Trigger: &protocol.Binding{Type: triggerType, Name: "t"}}})
	}
	return list
}

// TestAKindOfTrigger takes a kind through its life: its functions are called while their
// app is loaded, and what it does not serve goes to the rest of the host.
func TestAKindOfTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mux.New(http.NotFoundHandler())
		listeners := trigger.NewListeners(trigger.NewRegistry(echoKind), trigger.Env{
			Invoke: func(_ context.Context, function string, payload []byte) ([]byte, error) {
				if function == "Broken" {
					return nil, errors.New("it broke")
				}
				return bytes.ToUpper(payload), nil
			},
			Handle: m.Handle, Log: hclog.NewNullLogger(),
		})
		post := func(function string) (code int, body string) {
			synctest.Wait()
			w := httptest.NewRecorder()
			m.ServeHTTP(w, httptest.NewRequest("POST", "/echo/"+function, strings.NewReader("hello")))
			return w.Code, strings.TrimSpace(w.Body.String())
		}
		steps := []struct {
			name     string
			loaded   []supervisor.Function
			function string
			code     int
			body     string
		}{
			{"before anything is loaded", nil, "Shout", 404, "404 page not found"},
			{"a loaded function", served("EchoTrigger", "Shout", "Broken"), "Shout", 200, "HELLO"},
			{"a function that fails", served("EchoTrigger", "Shout", "Broken"), "Broken", 500, "it broke"},
			{"its app is replaced", served("EchoTrigger", "Shout"), "Broken", 404, "404 page not found"},
			{"what has stayed", served("EchoTrigger", "Shout"), "Shout", 200, "HELLO"},
			{"its app is removed", nil, "Shout", 404, "404 page not found"},
			{"its app comes back", served("EchoTrigger", "Shout"), "Shout", 200, "HELLO"},
		}
		for _, s := range steps {
			listeners.Set(bound(s.loaded))
			if code, body := post(s.function); code != s.code || body != s.body {
				t.Errorf("%s: got %d %q, want %d %q", s.name, code, body, s.code, s.body)
			}
		}
		if err := listeners.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if code, _ := post("Shout"); code != 404 {
			t.Errorf("after the stop: got %d", code)
		}
	})
}

// TestDurableKindsDoNotListen: the engine hands out their work.
func TestDurableKindsDoNotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listeners := trigger.NewListeners(newRegistry(), trigger.Env{Log: hclog.NewNullLogger()})
		listeners.Set(bound(append(served("orchestrationTrigger", "O"), served("activityTrigger", "A")...)))
		synctest.Wait()
		if got := listeners.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
		if err := listeners.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
