package core_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
)

// narrow lets the outboxes of a rig take so many messages.
func narrow(r *rig, messages int) {
	r.change = func(cfg *core.Config) { cfg.MaxOutboxMessages = messages }
}

// family starts as many children in partition 1 as its input says, and counts their ends.
func family(f *flow) (string, *history.TaskFailureDetails) {
	n, err := strconv.Atoi(f.input)
	if err != nil {
		return "", &history.TaskFailureDetails{ErrorMessage: err.Error()}
	}
	tasks := make([]int32, n)
	for k := range tasks {
		tasks[k] = f.child("Child", fmt.Sprintf("p1.%s.%d", f.instance, k), "1")
	}
	for _, t := range tasks {
		f.must(t)
	}
	return f.input, nil
}

// What has no room in the outbox to a partition that receives nothing waits, however
// often its own partition moves, and is not lost.
func TestEpisodesWaitForRoomInTheOutbox(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			children := 500
			if m.fate != nil {
				children = 60 // each recovery runs all of them
			}
			r := newRig(t, m, 2)
			narrow(r, 10)
			r.flows["Family"], r.flows["Child"] = family, func(*flow) (string, *history.TaskFailureDetails) { return "x", nil }
			r.nodes[1].deaf = true
			r.post("p0.a", starting("p0.a", "Family", strconv.Itoa(children))) // one episode: not divided
			r.run()
			r.post("p0.b", starting("p0.b", "Family", "3"))
			r.run()
			if got := r.nodes[0].core.Held(); got != 1 {
				t.Fatalf("%d instances of partition 0 are held, want 1", got)
			}
			if row := r.row("p0.b"); row.Position != 0 || row.Status != history.Pending {
				t.Errorf("an instance that is held has come to %d events, %s", row.Position, history.StatusName(row.Status))
			}
			if !r.nodes[0].core.Busy() {
				t.Error("a partition with an instance that is held is not busy")
			}
			// The children end, and have nobody to tell.
			r.nodes[1].deaf, r.nodes[0].deaf = false, true
			r.run()
			waiting := 0
			for _, s := range r.nodes[1].core.Unacked(0) {
				waiting += len(s.Messages)
			}
			if waiting != 10 {
				t.Errorf("%d messages wait in an outbox for 10", waiting)
			}
			if got := r.nodes[1].core.Held(); got < children-10 {
				t.Errorf("%d of %d children are held", got, children)
			}
			r.nodes[0].deaf = false
			r.run()
			r.wants("p0.a", history.Completed, strconv.Itoa(children))
			r.wants("p0.b", history.Completed, "3")
			if got := r.nodes[0].core.Held() + r.nodes[1].core.Held(); got != 0 {
				t.Errorf("%d instances are held at rest", got)
			}
			r.audit()
		})
	}
}

// Two partitions whose outboxes to each other are full do not wait for each other.
func TestFullOutboxesOnBothSides(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, m, 2)
			narrow(r, 2)
			r.flows["Play"] = func(f *flow) (string, *history.TaskFailureDetails) {
				for k := range 3 {
					f.send(f.input, "ball", fmt.Sprint(k))
				}
				var got []string
				for k := range 3 {
					got = append(got, f.event("ball"))
					f.send(f.input, "back", fmt.Sprint(k))
				}
				for range 3 {
					got = append(got, f.event("back"))
				}
				return strings.Join(got, " "), nil
			}
			r.nodes[0].deaf, r.nodes[1].deaf = true, true
			for k := range 20 {
				left, right := fmt.Sprintf("p0.%d", k), fmt.Sprintf("p1.%d", k)
				r.post(left, starting(left, "Play", right))
				r.post(right, starting(right, "Play", left))
			}
			r.run()
			for n, node := range r.nodes {
				if got := node.core.Held(); got < 15 {
					t.Errorf("partition %d holds %d of 20", n, got)
				}
			}
			r.nodes[0].deaf, r.nodes[1].deaf = false, false
			r.run()
			for k := range 20 {
				r.wants(fmt.Sprintf("p0.%d", k), history.Completed, "0 1 2 0 1 2")
				r.wants(fmt.Sprintf("p1.%d", k), history.Completed, "0 1 2 0 1 2")
			}
			r.audit()
		})
	}
}

// What a client asks for while there is no room is refused, changes nothing, and works
// under the same id later. An instance that is held can still be ended.
func TestRequestsAreRefusedWhileAnOutboxIsFull(t *testing.T) {
	r := newRig(t, modes[0], 3)
	r.change = func(cfg *core.Config) { cfg.MaxOutboxMessages, cfg.ReplaceRunning = 3, true }
	r.flows["Family"], r.flows["Child"] = family, collect("e", 1)
	_ = r.start("p0.b", "Family", "2")
	_ = r.start("p2.a", "Parent", "1")
	r.nodes[1].deaf = true
	_ = r.start("p0.a", "Family", "3")
	_ = r.start("p0.c", "Family", "2")
	for _, n := range r.nodes {
		n.patient = true
	}
	end := func(id string, recurse bool) func(c *core.Core, now int64, reply func(error)) {
		return func(c *core.Core, now int64, reply func(error)) { c.Terminate(now, id, "enough", recurse, reply) }
	}
	if err := r.ask("p0.b", with("rid", "terminate", "", "p0.b", nil, end("p0.b", true))); err == nil || !strings.Contains(err.Error(), "p0.b") {
		t.Errorf("recursive terminate: %v", err)
	} else {
		r.wantErr("recursive terminate", err, core.ErrBusy)
	}
	r.wants("p0.b", history.Running, "")
	r.wantErr("terminate of it alone", r.terminate("p0.a", "enough", false), nil)
	r.wantErr("terminate of one that is held", r.terminate("p0.c", "enough", true), nil)
	if got := r.nodes[0].core.Held(); got != 0 {
		t.Errorf("%d instances are held, and all have ended", got)
	}
	r.nodes[1].deaf = false
	r.run()
	if err := r.insist("rid", "terminate", "", "p0.b", end("p0.b", true)); err != nil {
		t.Errorf("the same request later: %v", err)
	}
	r.wants("p1.p0.b.0", history.Terminated, `"enough"`)
	r.audit()
}

// The end of an instance is a message as well, if a parent waits for it.
func TestAnEndIsRefusedWhileTheParentCannotBeTold(t *testing.T) {
	r := newRig(t, modes[0], 2)
	r.change = func(cfg *core.Config) { cfg.MaxOutboxMessages, cfg.ReplaceRunning = 1, true }
	r.flows["Family"], r.flows["Child"] = family, collect("e", 1)
	_ = r.start("p0.a", "Family", "3")
	r.nodes[1].patient, r.nodes[0].deaf = true, true
	_ = r.raise("p1.p0.a.0", "e", "1") // its end fills the outbox
	r.wantErr("terminate", r.terminate("p1.p0.a.1", "enough", false), core.ErrBusy)
	r.wantErr("a start that takes its id", r.start("p1.p0.a.1", "Child", "1"), core.ErrBusy)
	_ = r.raise("p1.p0.a.1", "e", "1")
	if got := r.nodes[1].core.Held(); got != 1 {
		t.Errorf("%d instances are held, want the second child", got)
	}
	if err := r.suspend("p1.p0.a.1"); err != nil {
		t.Error(err)
	}
	r.nodes[0].deaf = false
	r.run()
	r.wantErr("terminate of the third", r.terminate("p1.p0.a.2", "enough", false), nil)
	r.wants("p1.p0.a.1", history.Suspended, "")
	r.wantErr("resume", r.resume("p1.p0.a.1"), nil)
	r.wants("p1.p0.a.1", history.Completed, "1")
	r.audit()
}

// Bytes count as well, and what is sent together is no more than a connection takes.
func TestOutboxOfLargeMessages(t *testing.T) {
	r := newRig(t, modes[0], 2)
	r.change = func(cfg *core.Config) { cfg.MaxOutboxBytes = 8 << 20 }
	big := strings.Repeat("x", 1<<20)
	r.flows["Talk"] = func(f *flow) (string, *history.TaskFailureDetails) {
		for range 9 {
			f.send("p1.b", "e", `"`+big+`"`)
		}
		return "done", nil
	}
	r.nodes[1].deaf = true
	_ = r.start("p0.a", "Talk", "null")
	r.wants("p0.a", history.Completed, "done")
	_ = r.start("p0.b", "Talk", "null")
	n := r.nodes[0]
	if n.core.Held() != 1 {
		t.Errorf("%d instances are held", n.core.Held())
	}
	check := func(what string, first, count int) {
		t.Helper()
		next := uint64(first)
		for _, s := range n.core.Unacked(1) {
			if len(s.Messages) > 3 || s.First != next {
				t.Errorf("%s: %d large messages from %d are sent together, after %d", what, len(s.Messages), s.First, next)
			}
			next += uint64(len(s.Messages))
		}
		if int(next) != first+count {
			t.Errorf("%s: sends end before %d", what, next)
		}
	}
	check("at first", 1, 9)
	n.boot()
	check("after a recovery", 1, 9)
	r.run()
	n.core.Acked(1, 1)
	r.run()
	if n.core.Held() != 1 {
		t.Error("an outbox of 8 MiB holds 8 messages of a little more than one, and has room")
	}
	n.core.Acked(1, 3)
	r.run()
	if n.core.Held() != 0 {
		t.Error("the outbox has room, and the instance is still held")
	}
	check("later", 4, 6+9)
}

// Gathered tells the partition what one commit will weigh.
func TestGatheredIsAboutWhatIsSealed(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Collect"] = collect("e", 99)
	n := r.nodes[0]
	r.boot()
	input := `"` + strings.Repeat("x", 40_000) + `"`
	for k := range 10 {
		r.post("a", starting(fmt.Sprint("a", k), "Collect", input))
	}
	for n.take() || n.work() {
		r.now++
	}
	bytes, replies := n.core.Gathered()
	s, err := n.core.Seal()
	if err != nil {
		t.Fatal(err)
	}
	if replies != 10 || bytes < len(s.Batch)*8/10 || bytes > len(s.Batch)*3 {
		t.Errorf("%d bytes and %d replies were gathered, %d bytes and %d replies are sealed", bytes, replies, len(s.Batch), len(s.Effects.Replies))
	}
	if bytes, replies := n.core.Gathered(); bytes != 0 || replies != 0 {
		t.Errorf("after the seal %d bytes and %d replies are gathered", bytes, replies)
	}
}
