package core_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// with gives a request an id. told, if not nil, gets the answer.
func with(rid, op, name, id string, told *core.Answer, step func(c *core.Core, now int64, reply func(error))) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) {
		again := func(a core.Answer) {
			if told != nil {
				*told = a
			}
			reply(a.Err)
		}
		c.Once(now, core.Request{ID: rid, Op: op, Name: name, Instance: id}, again, func() { step(c, now, reply) })
	}
}

// insist sends a request with an id until it is answered, as clients do, and then once
// more: the answers have to be the same.
func (r *rig) insist(rid, op, name, id string, step func(c *core.Core, now int64, reply func(error))) error {
	r.Helper()
	send := func() error {
		r.Helper()
		for range 10 {
			a := r.post(id, with(rid, op, name, id, nil, step))
			r.run()
			if !a.done {
				r.Fatalf("%s %q was not answered", op, id)
			}
			if !a.lost {
				return a.err
			}
		}
		r.Fatalf("%s %q: every answer was lost", op, id)
		return nil
	}
	first := send()
	if again := send(); fmt.Sprint(first) != fmt.Sprint(again) {
		r.Errorf("%s %q: first %v, then %v", op, id, first, again)
	}
	return first
}

func (r *rig) insistRaise(rid, id, name, data string) error {
	r.Helper()
	return r.insist(rid, "raise", name, id, raising(id, name, data))
}

func raising(id, name, data string) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) { c.Raise(now, id, name, &data, reply) }
}

func (r *rig) wantErr(what string, got, want error) {
	r.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		r.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Whatever is lost, a request with an id takes effect once and is answered alike.
func TestRequestsWithAnIDTakeEffectOnce(t *testing.T) {
	everyMode(t, 2, func(r *rig) {
		r.flows["Collect"] = collect("e", 3)
		r.wantErr("raise too early", r.insistRaise("early", "p1.a", "e", "0"), core.ErrNotFound)
		r.wantErr("start", r.insist("s1", "start", "Collect", "p1.a", starting("p1.a", "Collect", "1")), nil)
		r.wantErr("the early one after the start", r.insistRaise("early", "p1.a", "e", "0"), core.ErrNotFound)
		r.wantErr("second start", r.insist("s2", "start", "Collect", "p1.a", starting("p1.a", "Collect", "2")), core.ErrInstanceExists)
		r.wantErr("raise", r.insistRaise("e1", "p1.a", "e", "1"), nil)
		r.wantErr("resume", r.insist("r0", "resume", "", "p1.a", resuming("p1.a")), core.ErrInvalidState)
		r.wantErr("suspend", r.insist("h1", "suspend", "", "p1.a", suspending("p1.a")), nil)
		r.wantErr("resume", r.insist("r1", "resume", "", "p1.a", resuming("p1.a")), nil)
		r.wantErr("raise", r.insistRaise("e2", "p1.a", "e", "2"), nil)
		r.wantErr("raise", r.insistRaise("e3", "p1.a", "e", "3"), nil)
		r.wants("p1.a", history.Completed, "1 2 3")
		r.wantErr("raise after the end", r.insistRaise("e1", "p1.a", "e", "1"), nil)
		r.wantErr("new raise after the end", r.insistRaise("e4", "p1.a", "e", "4"), core.ErrTerminal)
		r.wantErr("second start after the end", r.insist("s2", "start", "Collect", "p1.a", starting("p1.a", "Collect", "2")), core.ErrInstanceExists)

		r.wantErr("purge", r.insist("p1", "purge", "", "p1.a", purging("p1.a")), nil)
		r.wantErr("second purge", r.insist("p2", "purge", "", "p1.a", purging("p1.a")), core.ErrNotFound)
		r.wantErr("first start after the purge", r.insist("s1", "start", "Collect", "p1.a", starting("p1.a", "Collect", "1")), nil)
		if r.row("p1.a") != nil {
			r.Error("a start that was repeated has undone a purge")
		}

		r.wantErr("start", r.insist("s3", "start", "Collect", "p0.b", starting("p0.b", "Collect", "1")), nil)
		r.wantErr("terminate", r.insist("t1", "terminate", "", "p0.b", terminating("p0.b")), nil)
		r.wantErr("second terminate", r.insist("t2", "terminate", "", "p0.b", terminating("p0.b")), core.ErrTerminal)
		r.wants("p0.b", history.Terminated, `"enough"`)
	})
}

func resuming(id string) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) { c.Resume(now, id, "go on", reply) }
}

func suspending(id string) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) { c.Suspend(now, id, "hold on", reply) }
}

func purging(id string) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) { c.Purge(now, id, reply) }
}

func terminating(id string) func(*core.Core, int64, func(error)) {
	return func(c *core.Core, now int64, reply func(error)) { c.Terminate(now, id, "enough", false, reply) }
}

// A start that took over an id says so again, and takes it over once.
func TestRepeatedStartSaysThatItReplaced(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 0)
		_ = r.start("a", "Collect", "1")
		r.wants("a", history.Completed, "")
		for range 5 {
			var told core.Answer
			a := r.post("a", func(c *core.Core, now int64, reply func(error)) {
				s := &core.Start{ID: "a", Name: "Collect", Execution: core.ExecutionID("second"), Reply: func(replaced bool, err error) {
					told = core.Answer{Replaced: replaced, Err: err}
					reply(err)
				}}
				c.Once(now, core.Request{ID: "s", Op: "start", Name: "Collect", Instance: "a"}, func(a core.Answer) { s.Reply(a.Replaced, a.Err) },
					func() { c.Start(now, s) })
			})
			r.run()
			if !a.lost && (!told.Replaced || told.Err != nil) {
				r.Errorf("answer %+v", told)
			}
		}
		if g := r.row("a").Generation; g != 1 {
			r.Errorf("generation %d after one start that replaced", g)
		}
	})
}

// What arrives again before the commit is answered by that commit, be it still gathering
// or under way.
func TestRequestAgainBeforeItsCommit(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		r := newRig(t, modes[0], 1)
		r.flows["Collect"] = collect("e", 2)
		_ = r.start("a", "Collect", "null")
		n := r.nodes[0]
		answers := 0
		send := func() {
			with("e1", "raise", "e", "a", nil, raising("a", "e", "1"))(n.core, r.now, func(err error) {
				if err != nil {
					t.Error(err)
				}
				answers++
			})
		}
		seal := func() core.Sealed {
			s, err := n.core.Seal()
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		send()
		var first core.Sealed
		if sealed {
			first = seal()
		}
		send()
		if sealed && n.core.Pending() {
			t.Error("a repeated request needs a commit of its own")
		}
		second := seal()
		if !sealed {
			first, second = second, core.Sealed{}
		}
		if answers != 0 {
			t.Error("answered before the commit")
		}
		at := n.db.Position()
		at.Seq++
		if err := n.db.Apply(first.Batch, at); err != nil {
			t.Fatal(err)
		}
		n.core.Applied(first.Number)
		n.release(first.Effects)
		n.release(second.Effects)
		send()
		r.run()
		if answers != 3 {
			t.Errorf("sealed %v: %d answers for 3 requests", sealed, answers)
		}
		_ = r.raise("a", "e", "2")
		r.wants("a", history.Completed, "1 2")
	}
}

func TestRequestIsForgottenAfterTenMinutes(t *testing.T) {
	// Not where commits are lost: the next owner remembers for ten minutes of its own.
	for _, m := range []mode{modes[0], modes[1], modes[2], modes[6]} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, m, 1)
			r.flows["Collect"] = collect("e", 2)
			_ = r.start("a", "Collect", "null")
			r.wantErr("raise", r.insistRaise("e1", "a", "e", "1"), nil)
			for range 2 {
				r.advance(core.RequestMemory/2 - time.Second)
				r.wantErr("raise in time", r.insistRaise("e1", "a", "e", "1"), nil)
			}
			r.wants("a", history.Running, "")
			r.advance(3 * time.Second)
			r.wantErr("raise after ten minutes", r.insistRaise("e1", "a", "e", "2"), nil)
			r.wants("a", history.Completed, "1 2")
			r.audit()
		})
	}
}

// The next owner's clock may be wrong, or the one before had been: what counts is how
// long the owner itself has waited.
func TestRequestIsRememberedWhateverTheClockOfTheNextOwner(t *testing.T) {
	for _, shift := range []time.Duration{-5 * time.Hour, -7 * time.Minute, 7 * time.Minute, 30 * time.Minute, 5 * time.Hour} {
		t.Run(shift.String(), func(t *testing.T) {
			everyMode(t, 1, func(r *rig) {
				r.flows["Collect"] = collect("e", 4)
				_ = r.start("a", "Collect", "null")
				r.wantErr("first", r.insistRaise("e1", "a", "e", "1"), nil)
				r.now += int64(shift)
				r.nodes[0].boot()
				r.wantErr("first again", r.insistRaise("e1", "a", "e", "1"), nil)
				r.wantErr("second", r.insistRaise("e2", "a", "e", "2"), nil)
				r.advance(9 * time.Minute)
				r.wantErr("first, later", r.insistRaise("e1", "a", "e", "1"), nil)
				r.now -= int64(shift)
				r.nodes[0].boot()
				r.wantErr("second again", r.insistRaise("e2", "a", "e", "2"), nil)
				_ = r.raise("a", "e", "3")
				_ = r.raise("a", "e", "4")
				r.wants("a", history.Completed, "1 2 3 4")
			})
		})
	}
}

// Owners that follow each other fast still forget.
func TestRequestsAreForgottenThoughOwnersChange(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.boot()
	most := 0
	for k := range 500 {
		r.now += int64(4 * time.Minute)
		r.nodes[0].boot()
		r.wantErr("purge", r.insist(fmt.Sprint(k), "purge", "", "none", purging("none")), core.ErrNotFound)
		a, err := core.AuditState(r.nodes[0].db)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, a.Requests)
	}
	r.audit()
	if most > 70 {
		t.Errorf("up to %d answers are kept, of one in 4 minutes", most)
	}
}

func TestRequestIDForSomethingElse(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 2)
		_ = r.start("a", "Collect", "null")
		_ = r.start("b", "Collect", "null")
		r.wantErr("raise", r.insistRaise("x", "a", "e", "1"), nil)
		for what, err := range map[string]error{
			"another instance":  r.insistRaise("x", "b", "e", "1"),
			"another event":     r.insistRaise("x", "a", "f", "1"),
			"another operation": r.insist("x", "suspend", "", "a", suspending("a")),
		} {
			r.wantErr(what, err, core.ErrInvalidArgument)
		}
		r.wantErr("the same again", r.insistRaise("x", "a", "e", "1"), nil)
		r.wants("a", history.Running, "")
		_ = r.raise("a", "e", "2")
		r.wants("a", history.Completed, "1 2")
	})
}

// Forgetting is one deletion, whatever was remembered, and waits for a commit that has
// another reason.
func TestForgettingRequestsIsBoundedAndFree(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 1)
	_ = r.start("a", "Collect", "null")
	n := r.nodes[0]
	kept := func() int {
		t.Helper()
		r.audit()
		a, err := core.AuditState(n.db)
		if err != nil {
			t.Fatal(err)
		}
		return a.Requests
	}
	for k := range 300 {
		r.now += int64(time.Second)
		r.post("none", with(fmt.Sprint(k), "purge", "", "none", nil, purging("none")))
	}
	r.run()
	if k := kept(); k != 300 {
		t.Fatalf("%d answers are kept of 300", k)
	}
	seals := r.seals
	r.advance(time.Hour)
	if k := kept(); k != 300 || r.seals != seals {
		t.Errorf("an idle hour: %d answers are kept, %d commits", k, r.seals-seals)
	}
	data := "1"
	n.core.Raise(r.now, "a", "e", &data, func(error) {})
	s, err := n.core.Seal()
	if err != nil {
		t.Fatal(err)
	}
	mutations := 0
	for m, err := range kv.Mutations(s.Batch) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Key[0] == 'r' {
			if mutations++; m.Op != kv.DeleteRange {
				t.Errorf("mutation %d of %q", m.Op, m.Key)
			}
		}
	}
	if mutations != 1 {
		t.Errorf("300 requests are forgotten by %d mutations", mutations)
	}
	at := n.db.Position()
	at.Seq++
	if err := n.db.Apply(s.Batch, at); err != nil {
		t.Fatal(err)
	}
	n.core.Applied(s.Number)
	n.release(s.Effects)
	r.run()
	if k := kept(); k != 0 {
		t.Errorf("%d answers are still kept", k)
	}
	r.wantErr("after all were forgotten", r.insist("new", "purge", "", "none", purging("none")), core.ErrNotFound)
	if k := kept(); k != 1 {
		t.Errorf("%d answers are kept of one", k)
	}
}

func TestRequestsWithoutAnIDLeaveNothing(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Collect"] = collect("e", 1)
		_ = r.start("a", "Collect", "null")
		_ = r.raise("a", "e", "1")
		_ = r.purge("b")
		if a, err := core.AuditState(r.nodes[0].db); err != nil || a.Requests != 0 {
			r.Errorf("%d answers are kept, %v", a.Requests, err)
		}
	})
}

func TestCheckRequestID(t *testing.T) {
	tests := []struct {
		name, id string
		want     error
	}{
		{"text", "Retry 17/of: ä", nil},
		{"128 characters", strings.Repeat("ä", 128), nil},
		{"129 characters", strings.Repeat("a", 129), core.ErrInvalidArgument},
		{"empty", "", core.ErrInvalidArgument},
		{"not UTF-8", "\xff", core.ErrInvalidArgument},
		{"a control character", "a\nb", core.ErrInvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := core.CheckRequestID(tt.id); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if a, b := core.InstanceOfRequest("a"), core.InstanceOfRequest("b"); a == b || core.CheckInstanceID(a) != nil || a != core.InstanceOfRequest("a") {
		t.Errorf("instances %q and %q", a, b)
	}
}
