package durable

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
)

func TestActivitiesInSequence(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, city string) ([]string, error) {
		var out []string
		for _, c := range []string{city, "Paris"} {
			s, err := CallActivity[string](ctx, "Greet", c).Await()
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	}), "O")
	res := h.start(`"Oslo"`)
	expect(t, res, `#0 activity Greet("Oslo")`)
	if v := res.Actions[0].GetScheduleTask().Version.GetValue(); v != "2.1" {
		t.Errorf("an activity has version %q, want its instance's 2.1", v)
	}
	expect(t, h.episode(done(0, `"Hello <Oslo>"`)), `#1 activity Greet("Paris")`)
	expect(t, h.episode(done(0, `"late"`), done(7, `"unknown"`), fired(1), childDone(1, `"another kind"`)))
	expect(t, h.episode(done(1, `"Hi \"P\""`)), `#2 Completed ["Hello \u003cOslo\u003e","Hi \"P\""]`)
}

func TestNoInputAndNullAreTheZeroValue(t *testing.T) {
	for _, in := range []string{"", "null"} {
		h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, n struct{ N int }) (struct{}, error) {
			if n.N != 0 {
				t.Errorf("input is %v", n)
			}
			v, err := CallActivity[*int](ctx, "A", nil).Await()
			if v != nil || err != nil {
				t.Errorf("result is %v, %v", v, err)
			}
			return struct{}{}, nil
		}), "O")
		expect(t, h.start(in), `#0 activity A()`)
		expect(t, h.episode(done(0, in)), `#1 Completed`)
	}
}

func TestRawMessagePassesThrough(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, in json.RawMessage) (json.RawMessage, error) {
		return CallActivity[json.RawMessage](ctx, "A", in).Await()
	}), "O")
	expect(t, h.start(`{"b" : 1}`), `#0 activity A({"b" : 1})`)
	expect(t, h.episode(done(0, `[ 1]`)), `#1 Completed [ 1]`)
}

func TestFailuresOfActivities(t *testing.T) {
	var seen error
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		_, seen = CallActivity[string](ctx, "Pay", 1).Await()
		return "", seen
	}), "O")
	h.start("")
	res := h.episode(failed(0, &history.TaskFailureDetails{ErrorType: "*pay.Declined", ErrorMessage: "no money",
		InnerFailure: &history.TaskFailureDetails{ErrorType: "*errors.errorString", ErrorMessage: "io"}}))
	expect(t, res, `#1 Failed *durable.TaskFailedError: Orchestrator function 'O' failed: activity function 'Pay' failed: "no money". See the function execution logs for additional details.`)
	tf, ok := errors.AsType[*TaskFailedError](seen)
	if !ok || tf.TaskName != "Pay" || tf.TaskID != 0 || tf.Failure.Type != "*pay.Declined" || tf.Failure.Inner.Message != "io" {
		t.Errorf("error is %#v", seen)
	}
	d := res.Actions[0].GetCompleteOrchestration().FailureDetails
	if d.InnerFailure.GetErrorType() != "*pay.Declined" || d.InnerFailure.InnerFailure.GetErrorMessage() != "io" || d.IsNonRetriable {
		t.Errorf("failure of the instance: %v", d)
	}
}

func TestSubOrchestrations(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		a := CallSubOrchestrator[int](ctx, "Child", 1, WithTags(map[string]string{"team": "b"}))
		b := CallSubOrchestrator[int](ctx, "Child", 2, WithInstanceID("mine"), WithVersion("9"))
		if n, err := a.Await(); n != 11 || err != nil {
			t.Errorf("first child: %d, %v", n, err)
		}
		_, err := b.Await()
		return err.Error(), nil
	}), "O")
	res := h.start("")
	expect(t, res, `#0 child Child(1) ""`, `#1 child Child(2) "mine"`)
	first, second := res.Actions[0].GetCreateSubOrchestration(), res.Actions[1].GetCreateSubOrchestration()
	if first.Version != nil || second.Version.GetValue() != "9" {
		t.Errorf("versions are %v and %v", first.Version, second.Version)
	}
	if len(second.Tags) != 0 || len(first.Tags) != 1 || first.Tags["team"] != "b" { // the host adds the parent's
		t.Errorf("tags are %v and %v", first.Tags, second.Tags)
	}
	expect(t, h.episode(childDone(0, "11")))
	expect(t, h.episode(childFailed(1, "stopped by op")), `#2 Completed "sub-orchestrator function 'Child' failed: \"stopped by op\""`)
}

func TestInvalidCallsScheduleNothing(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		check := func(what string, err error) {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("%s: %v", what, err)
			}
		}
		child := func(name string, in any, opts ...SubOrchestratorOption) error {
			_, err := CallSubOrchestrator[int](ctx, name, in, opts...).Await()
			return err
		}
		check("own id", child("C", nil, WithInstanceID("INST-1")))
		check("parent's id", child("C", nil, WithInstanceID("The-Parent")))
		check("@ in id", child("C", nil, WithInstanceID("@x@y")))
		check("slash in id", child("C", nil, WithInstanceID("a/b")))
		check("empty id", child("C", nil, WithInstanceID("")))
		check("long id", child("C", nil, WithInstanceID(strings.Repeat("x", 257))))
		check("@ in name", child("@C", nil))
		check("no name", child("", nil))
		check("unencodable input", child("C", func() {}))
		check("no JSON", child("C", json.RawMessage("{")))
		check("no attempts", child("C", nil, WithRetry(RetryPolicy{FirstRetryInterval: 1})))
		check("no interval", child("C", nil, WithRetry(RetryPolicy{MaxNumberOfAttempts: 1})))
		check("interval above 6 days", child("C", nil, WithRetry(RetryPolicy{MaxNumberOfAttempts: 1, FirstRetryInterval: 145 * time.Hour})))
		check("coefficient", child("C", nil, WithRetry(RetryPolicy{MaxNumberOfAttempts: 1, FirstRetryInterval: 1, BackoffCoefficient: .5})))
		check("event to an entity", ctx.SendEvent("@e@k", "x", nil))
		check("event without a name", ctx.SendEvent("i", "", nil))
		_, err := WhenAny(ctx).Await()
		check("WhenAny of nothing", err)
		_, err = Task[int]{}.Await()
		check("zero Task", err)
		_, err = StartNewOrchestration(ctx, "C", nil, WithStartAt(epoch))
		check("scheduled start", err)
		return "", nil
	}), "O")
	expect(t, h.start(""), `#0 Completed ""`)
}

func TestFireAndForget(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]string, error) {
		a, err1 := StartNewOrchestration(ctx, "Audit", 1)
		b, err2 := StartNewOrchestration(ctx, "Audit", 2, WithInstanceID("audit-2"))
		_, err3 := CreateTimer(ctx, time.Second).Await() // so that the ids go through a replay
		return []string{a, b}, errors.Join(err1, err2, err3)
	}), "O")
	res := h.start("")
	id := res.Actions[0].GetCreateSubOrchestration().InstanceId
	if len(id) != 32 {
		t.Errorf("derived id is %q", id)
	}
	for _, a := range res.Actions[:2] {
		if _, marked := a.GetCreateSubOrchestration().Tags[fireAndForget]; !marked {
			t.Errorf("no %s tag: %v", fireAndForget, a)
		}
	}
	expect(t, h.episode(childDone(0, ""), fired(2)), `#3 Completed ["`+id+`","audit-2"]`)
}

func TestTimers(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (bool, error) {
		deadline := CreateTimer(ctx, time.Hour)
		tick := ctx.CreateTimer(epoch.Add(5 * time.Second))
		if _, err := tick.Await(); err != nil {
			return false, err
		}
		if !deadline.Cancel() || deadline.Cancel() || tick.Cancel() {
			t.Error("Cancel must be true once, for an open timer")
		}
		if _, err := deadline.Await(); !errors.Is(err, ErrCanceled) {
			t.Errorf("a cancelled timer ends with %v", err)
		}
		_, err := CallActivity[int](ctx, "A", nil).Await()
		return true, err
	}), "O")
	expect(t, h.start(""), "#0 timer +1h0m1s", "#1 timer +5s")
	expect(t, h.episode(fired(1)), "#0 cancel", "#2 activity A()")
	expect(t, h.episode(fired(0))) // it was on its way
	expect(t, h.episode(done(2, "1")), "#3 Completed true")
}

func TestContextMembers(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]string, error) {
		out := []string{ctx.InstanceID(), ctx.ParentInstanceID(), ctx.ExecutionID(), ctx.Name(), ctx.Version(), ctx.Tags()["team"],
			ctx.CurrentUTCDateTime().Format(time.RFC3339Nano)}
		_, err := CreateTimer(ctx, 1).Await()
		return append(out, ctx.CurrentUTCDateTime().Format(time.RFC3339Nano)), err
	}), "O")
	h.start("")
	expect(t, h.episode(fired(0)), `#1 Completed ["inst-1","the-parent","exec1","O","2.1","a","2024-05-01T10:20:31.1234567Z","2024-05-01T10:20:32.1234567Z"]`)
}

func TestNewGUID(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) ([]string, error) {
		out := []string{ctx.NewGUID().String(), ctx.NewGUID().String()}
		_, err := CreateTimer(ctx, 1).Await()
		return append(out, ctx.NewGUID().String()), err
	}), "O")
	h.start("")
	// uuid5(9e952958-5e33-4daf-827f-2fa12937b875, "inst-1_2024-05-01T10:20:31.1234567Z_0") and so on.
	expect(t, h.episode(fired(0)), `#1 Completed ["deecfdd0-095d-5f30-ada3-7b6d5556e81b","3a1a4c06-48a7-5d11-b5c1-abf2cb2eddb3","3d8d43d0-7a18-5ded-ab69-71721c192fea"]`)
}

func TestCustomStatus(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		if err := ctx.SetCustomStatus("one"); err != nil {
			t.Error(err)
		}
		if err := ctx.SetCustomStatus(strings.Repeat("x", 8190)); err != nil { // with its quotes 16,384 bytes
			t.Errorf("status of exactly 16 KB: %v", err)
		}
		if err := ctx.SetCustomStatus(strings.Repeat("x", 8191)); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("status above 16 KB: %v", err)
		}
		if err := ctx.SetCustomStatus(strings.Repeat("😀", 4096)); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("surrogate pairs count twice: %v", err)
		}
		CreateTimer(ctx, 1).Await()
		CreateTimer(ctx, 1).Await()
		return 0, ctx.SetCustomStatus(nil)
	}), "O")
	if got := h.start("").CustomStatus.GetValue(); len(got) != 8192 {
		t.Errorf("status has %d bytes", len(got))
	}
	if got := h.episode(fired(0)).CustomStatus; got != nil {
		t.Errorf("an episode that sets none tells %v", got)
	}
	if got := h.episode(fired(1)).CustomStatus; got.GetValue() != "null" {
		t.Errorf("cleared status is %v", got)
	}
}

func TestSendEvent(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (struct{}, error) {
		err := ctx.SendEvent("other", "Approved", true)
		CreateTimer(ctx, 1).Await()
		return struct{}{}, err
	}), "O")
	expect(t, h.start(""), "#0 send Approved(true) to other", "#1 timer +1.000000001s")
	expect(t, h.episode(fired(1)), "#2 Completed")
}

func TestContinueAsNew(t *testing.T) {
	app := NewApp("test")
	Orchestrator(app, "Keep", func(ctx *OrchestrationContext, n int) (string, error) {
		first, err := WaitForExternalEvent[int](ctx, "a").Await()
		if err != nil {
			return "", err
		}
		return "not kept", ctx.ContinueAsNew(n+first, WithVersion("3"))
	})
	Orchestrator(app, "Drop", func(ctx *OrchestrationContext, n int) (string, error) {
		WaitForExternalEvent[int](ctx, "a").Await()
		return "", ctx.ContinueAsNew(n, WithDroppedEvents())
	})
	Orchestrator(app, "Fail", func(ctx *OrchestrationContext, n int) (string, error) {
		return "", errors.Join(ctx.ContinueAsNew(n), errors.New("no"))
	})
	h := newTestHost(t, app, "Keep")
	res := h.start("1", event("B", `"x"`), event("A", "10"), event("a", "20"), event("b", `"y"`))
	expect(t, res, `#0 ContinuedAsNew 11 +B("x") +a(20) +b("y")`)
	if v := res.Actions[0].GetCompleteOrchestration().NewVersion.GetValue(); v != "3" {
		t.Errorf("new version is %q", v)
	}
	expect(t, newTestHost(t, app, "Drop").start("1", event("b", ""), event("a", "1")), `#0 ContinuedAsNew 1`)
	expect(t, newTestHost(t, app, "Fail").start("1"), `#0 Failed *errors.joinError: Orchestrator function 'Fail' failed: no`)
}

func TestActionsBeforeAFailureAreSent(t *testing.T) {
	h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
		ctx.SendEvent("x", "e", nil)
		return "", NonRetriable(errors.New("bad"))
	}), "O")
	res := h.start("")
	expect(t, res, "#0 send e() to x", "#1 Failed *errors.errorString: Orchestrator function 'O' failed: bad")
	if !res.Actions[1].GetCompleteOrchestration().FailureDetails.IsNonRetriable {
		t.Error("the mark of NonRetriable is lost")
	}
}

func TestPanicsAndGoexitFail(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func()
		want string
	}{
		"panic":  {func() { panic("ouch") }, "#1 Failed panic: Orchestrator function 'O' failed: panic: ouch"},
		"nil":    {func() { var p *int; *p = 1 }, "#1 Failed panic: Orchestrator function 'O' failed: panic: runtime error: invalid memory address or nil pointer dereference"},
		"goexit": {runtime.Goexit, "#1 Failed *errors.errorString: Orchestrator function 'O' failed: the function called runtime.Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestHost(t, orchestration(func(ctx *OrchestrationContext, _ struct{}) (string, error) {
				CallActivity[int](ctx, "A", nil).Await()
				tt.do()
				return "", nil
			}), "O")
			h.start("")
			// A Goexit ends the goroutine that runs the episodes: each gets its own.
			run := func(r *runner) []string {
				done := make(chan struct{})
				res := resultOf(h, r, done)
				<-done
				scrub(res)
				return show(res)
			}
			for _, r := range []*runner{h.parked, h.replayed} {
				if got := strings.Join(run(r), "\n"); got != tt.want {
					t.Errorf("actions:\n%s\nwant:\n%s", got, tt.want)
				}
			}
			if h.parked.parked.len() != 0 {
				t.Error("a failed execution stays parked")
			}
		})
	}
}

func TestUnknownOrchestrator(t *testing.T) {
	app := orchestration(func(*OrchestrationContext, int) (int, error) { return 0, nil })
	expect(t, newTestHost(t, app, "Nope").start(""),
		`#0 Failed OrchestratorTaskNotFound: app "test" has no orchestrator function "Nope"; it has: O`)
	expect(t, newTestHost(t, app, "o").start(""), "#0 Completed 0") // names have no case
}

func TestBadInputFailsTheInstance(t *testing.T) {
	h := newTestHost(t, orchestration(func(*OrchestrationContext, int) (int, error) { return 0, nil }), "O")
	got := strings.Join(show(h.start(`"text"`)), "")
	if !strings.Contains(got, "input: cannot read JSON of 6 bytes as int") {
		t.Error(got)
	}
}
