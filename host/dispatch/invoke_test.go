package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// invoking is a dispatcher with one app that has the triggered function F.
type invoking struct {
	*dispatch.Dispatcher
	t   *testing.T
	app *fakeApp
}

// returned is what an Invoke returned.
type returned struct {
	result string
	err    error
}

func newInvoking(t *testing.T, opt dispatch.Options) *invoking {
	x := &invoking{Dispatcher: dispatch.New(opt), t: t, app: &fakeApp{}}
	x.serve(x.app)
	return x
}

// serve puts F where app is; nil: its app restarts.
func (x *invoking) serve(app dispatch.App) {
	x.SetFunctions([]dispatch.Function{{Kind: dispatch.Triggered, Name: "F", App: "app", Handle: app}})
}

// begin invokes and gives where it returns, once it waits for something.
func (x *invoking) begin(ctx context.Context, payload string) <-chan returned {
	out := make(chan returned, 1)
	go func() {
		b, err := x.Invoke(ctx, "f", []byte(payload))
		out <- returned{string(b), err}
	}()
	synctest.Wait()
	return out
}

func (x *invoking) answer(r *protocol.InvocationResult) {
	x.Results(&protocol.AppFrame{Invocations: []*protocol.InvocationResult{r}})
}

// payloads lists what the app got.
func (x *invoking) payloads() (out []string) {
	for _, f := range x.app.frames {
		for _, w := range f.Invocations {
			out = append(out, string(w.Payload))
		}
	}
	return out
}

func TestInvoke(t *testing.T) {
	failure := &history.TaskFailureDetails{ErrorType: "Oops", ErrorMessage: "no luck"}
	tests := []struct {
		name string
		end  func(x *invoking, id uint64)
		want string
		is   error
	}{
		{"result", func(x *invoking, id uint64) { x.answer(&protocol.InvocationResult{Work: id, Result: []byte(`"ok"`)}) }, `"ok"`, nil},
		{"no result", func(x *invoking, id uint64) { x.answer(&protocol.InvocationResult{Work: id}) }, "", nil},
		{"the function fails", func(x *invoking, id uint64) { x.answer(&protocol.InvocationResult{Work: id, Failure: failure}) }, "", errFunction},
		{"the app dies", func(x *invoking, id uint64) { x.Lost([]uint64{id}, true) }, "", dispatch.ErrAppGone},
		{"the app is stopped", func(x *invoking, id uint64) { x.Lost([]uint64{id}, false) }, "", dispatch.ErrAppGone},
		{"never sent, and the function goes", func(x *invoking, id uint64) {
			x.serve(nil)
			x.Returned([]uint64{id})
			x.SetFunctions(nil)
		}, "", dispatch.ErrNoFunction},
		{"never sent, and the host stops", func(x *invoking, id uint64) {
			x.Stop()
			x.Returned([]uint64{id})
		}, "", dispatch.ErrStopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newInvoking(t, dispatch.Options{})
				got := x.begin(t.Context(), "1")
				w := x.app.frames[0].Invocations[0]
				if w.Function != "f" || string(w.Payload) != "1" {
					t.Errorf("the app got %v", w)
				}
				tt.end(x, w.Work)
				r := <-got
				var failed *dispatch.FunctionError
				if errors.As(r.err, &failed) && failed.Function == "f" && failed.Details == failure {
					r.err = errFunction
				}
				if r.result != tt.want || !errors.Is(r.err, tt.is) {
					t.Errorf("%q, %v", r.result, r.err)
				}
			})
		})
	}
}

// errFunction stands for a FunctionError.
var errFunction = errors.New("the function failed")

func TestInvokeIsRefused(t *testing.T) {
	x := newInvoking(t, dispatch.Options{})
	if _, err := x.Invoke(t.Context(), "Other", nil); !errors.Is(err, dispatch.ErrNoFunction) {
		t.Errorf("unknown function: %v", err)
	}
	if _, err := x.Invoke(t.Context(), "F", make([]byte, protocol.MaxMessage)); !errors.Is(err, dispatch.ErrTooLarge) {
		t.Errorf("large payload: %v", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	if _, err := x.Invoke(gone, "F", nil); !errors.Is(err, errGone) {
		t.Errorf("a context that has ended: %v", err)
	}
	x.Stop()
	if _, err := x.Invoke(t.Context(), "F", nil); !errors.Is(err, dispatch.ErrStopped) {
		t.Errorf("after Stop: %v", err)
	}
	if len(x.app.frames) != 0 {
		t.Errorf("the app got %v", x.app.frames)
	}
}

var errGone = errors.New("the caller is gone")

func TestInvocationsWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newInvoking(t, dispatch.Options{MaxInvocations: 1, MaxActivities: 1})
		first, second := x.begin(t.Context(), "1"), x.begin(t.Context(), "2")
		if got := x.payloads(); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("with the app: %v, want 1", got)
		}
		x.answer(&protocol.InvocationResult{Work: x.app.frames[0].Invocations[0].Work})
		<-first
		if got := x.payloads(); !slices.Equal(got, []string{"1", "2"}) {
			t.Fatalf("after the answer: %v, want 1 and 2", got)
		}
		// Another process has the app now: what was not sent goes there.
		x.serve(nil)
		last := x.app.frames[1].Invocations[0].Work
		x.Returned([]uint64{last})
		if w := x.Waiting(); len(w) != 1 || w[0].Kind != dispatch.Triggered || w[0].App != "app" || !w[0].Deadline.IsZero() {
			t.Errorf("waiting %+v", w)
		}
		x.Yield(func(work.Function) bool { return true }) // is no host's business but this one's
		x.serve(x.app)
		x.answer(&protocol.InvocationResult{Work: last, Result: []byte("3")})
		if r := <-second; r.result != "3" || r.err != nil {
			t.Errorf("%+v", r)
		}
	})
}

// A function that hangs, and callers that lose patience: their payloads do not pile up.
func TestCallersThatGiveUpLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newInvoking(t, dispatch.Options{MaxInvocations: 1})
		hangs := x.begin(t.Context(), "hangs")
		ctx, cancel := context.WithCancel(t.Context())
		var gaveUp []<-chan returned
		for range 5 {
			gaveUp = append(gaveUp, x.begin(ctx, "gives up"))
		}
		waits := x.begin(t.Context(), "waits")
		cancel()
		for _, c := range gaveUp {
			<-c
		}
		if l := x.Load(dispatch.Triggered); l != (dispatch.Load{Running: 1, Queued: 1}) {
			t.Errorf("load %+v", l)
		}
		x.answer(&protocol.InvocationResult{Work: x.app.frames[0].Invocations[0].Work})
		<-hangs
		if got := x.payloads(); !slices.Equal(got, []string{"hangs", "waits"}) {
			t.Errorf("the app got %v", got)
		}
		x.answer(&protocol.InvocationResult{Work: x.app.frames[1].Invocations[0].Work})
		<-waits
	})
}

func TestInvokeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newInvoking(t, dispatch.Options{MaxInvocations: 1})
		ctx, cancel := context.WithCancelCause(t.Context())
		running, queued := x.begin(ctx, "1"), x.begin(ctx, "2")
		id := x.app.frames[0].Invocations[0].Work
		cancel(errGone)
		for _, c := range []<-chan returned{running, queued} {
			if r := <-c; !errors.Is(r.err, errGone) {
				t.Errorf("%+v", r)
			}
		}
		if last := x.app.frames[len(x.app.frames)-1]; !slices.Equal(last.Cancels, []uint64{id}) {
			t.Errorf("cancels %v, want %d", last.Cancels, id)
		}
		x.answer(&protocol.InvocationResult{Work: id}) // frees the place, and is nobody's any more
		next := x.begin(t.Context(), "3")
		if got := x.payloads(); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("the app got %v, want 1 and 3", got)
		}
		x.Lost([]uint64{id + 2}, true)
		<-next
	})
}
