package core_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
)

// raised is a message with an external event, as partition src sends it.
func raised(t *testing.T, to, name, data string) *core.Message {
	t.Helper()
	e := &history.HistoryEvent{EventId: -1, EventType: &history.HistoryEvent_EventRaised{EventRaised: &history.EventRaisedEvent{Name: name, Input: text(data)}}}
	b, err := e.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return &core.Message{Kind: &core.Message_Event{Event: &core.EventMessage{Instance: to, Event: b}}}
}

func TestMessagesTakeEffectOnce(t *testing.T) {
	r := newRig(t, modes[0], 2)
	r.flows["Collect"] = collect("e", 6)
	_ = r.start("p0.a", "Collect", "null")
	n := r.nodes[0]
	all := []*core.Message{nil}
	for k := 1; k <= 6; k++ {
		all = append(all, raised(t, "p0.a", "e", fmt.Sprint(k)))
	}
	take := func(first, last int) error {
		err := n.core.Messages(r.now, 1, uint64(first), all[first:last+1])
		r.run()
		return err
	}
	for _, tt := range []struct {
		name        string
		first, last int
		gap         bool
		mark        uint64
	}{
		{"too early", 2, 3, true, 0},
		{"the first two", 1, 2, false, 2},
		{"the same again", 1, 2, false, 2},
		{"an overlap", 2, 4, false, 4},
		{"a gap", 6, 6, true, 4},
		{"the rest", 5, 6, false, 6},
		{"all again", 1, 6, false, 6},
	} {
		if err := take(tt.first, tt.last); errors.Is(err, core.ErrGap) != tt.gap || err != nil && !tt.gap {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := n.core.Received(1); got != tt.mark {
			t.Errorf("%s: mark %d, want %d", tt.name, got, tt.mark)
		}
		n.boot() // the mark and what it stands for are in one batch
		if got := n.core.Received(1); got != tt.mark {
			t.Errorf("%s: after a recovery the mark is %d, want %d", tt.name, got, tt.mark)
		}
	}
	r.run()
	r.wants("p0.a", history.Completed, "1 2 3 4 5 6")
}

// A receipt promises that the messages survive: it waits for their commit, also when
// they are repeated while that is under way.
func TestReceiptsFollowTheCommit(t *testing.T) {
	r := newRig(t, modes[0], 2)
	r.boot()
	n := r.nodes[0]
	m := []*core.Message{raised(t, "p0.nobody", "e", "1")}
	if err := n.core.Messages(r.now, 1, 1, m); err != nil {
		t.Fatal(err)
	}
	if !n.core.Pending() {
		t.Error("a message for nobody must move the mark all the same")
	}
	s, err := n.core.Seal()
	if err != nil || len(s.Effects.Acks) != 1 || s.Effects.Acks[0] != (core.Ack{Src: 1, UpTo: 1}) || len(s.Batch) == 0 {
		t.Fatalf("sealed %+v, %v", s, err)
	}
	if err := n.core.Messages(r.now, 1, 1, m); err != nil {
		t.Fatal(err)
	}
	if n.core.Pending() || !n.core.Waiting() {
		t.Errorf("a repeated message: pending %v, waiting %v", n.core.Pending(), n.core.Waiting())
	}
}

// unacked is what a partition would send again, if that fits into one Send.
func unacked(n *node, dst int) core.Send {
	sends := n.core.Unacked(dst)
	if len(sends) == 0 {
		return core.Send{}
	}
	return sends[0]
}

func TestOutboxKeepsWhatIsNotAcknowledged(t *testing.T) {
	r := newRig(t, modes[0], 2)
	r.flows["Talk"] = func(f *flow) (string, *history.TaskFailureDetails) {
		for n := range 4 {
			f.send("p1.b", "e", fmt.Sprint(n))
		}
		return "", nil
	}
	n := r.nodes[0]
	r.post("p0.a", starting("p0.a", "Talk", "null"))
	for n.take() || n.work() {
		r.now++
	}
	if got := unacked(n, 1); len(got.Messages) > 0 {
		t.Errorf("%d messages would leave before their commit", len(got.Messages))
	}
	s, err := n.core.Seal()
	if err != nil || len(s.Effects.Sends) != 1 || s.Effects.Sends[0].First != 1 || len(s.Effects.Sends[0].Messages) != 4 {
		t.Fatalf("sends %+v, %v", s.Effects.Sends, err)
	}
	if err := n.db.Apply(s.Batch, n.db.Position()); err != nil {
		t.Fatal(err)
	}
	n.core.Applied(s.Number)
	check := func(what string, first uint64, count int) {
		t.Helper()
		if got := unacked(n, 1); len(got.Messages) != count || count > 0 && got.First != first {
			t.Errorf("%s: %d from %d, want %d from %d", what, len(got.Messages), got.First, count, first)
		}
	}
	check("sent", 1, 4)
	n.core.Acked(1, 2)
	if n.core.Pending() {
		t.Error("trimming the outbox asks for a commit of its own")
	}
	check("two acknowledged", 3, 2)
	n.core.Acked(1, 1) // an old receipt
	check("an old receipt", 3, 2)
	n.core.Acked(1, 99)
	check("all acknowledged", 0, 0)
	// No commit came, so a successor sends all four again.
	n.boot()
	seal := func() core.Sealed {
		t.Helper()
		s, err := n.core.Seal()
		if err == nil {
			err = n.db.Apply(s.Batch, n.db.Position())
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.Number > 0 {
			n.core.Applied(s.Number)
		}
		return s
	}
	s = seal()
	if len(s.Batch) > 0 || len(s.Effects.Sends) != 1 || s.Effects.Sends[0].First != 1 || len(s.Effects.Sends[0].Messages) != 4 {
		t.Errorf("after a recovery: %+v", s)
	}
	// With the receipt and another commit they are gone, and stay so.
	n.core.Acked(1, 4)
	r.post("p0.c", starting("p0.c", "Nobody", "null"))
	seal()
	n.boot()
	check("after a commit and a recovery", 0, 0)
	// Numbers go on where they were.
	r.post("p0.d", starting("p0.d", "Talk", "null"))
	for n.take() || n.work() {
		r.now++
	}
	if s = seal(); len(s.Effects.Sends) != 1 || s.Effects.Sends[0].First != 5 {
		t.Errorf("the next messages: %+v", s.Effects.Sends)
	}
}

func ref(partition int, name string) string {
	return history.PayloadRef{Partition: partition, Name: name, Bytes: 100_000, SHA256: strings.Repeat("ab", 32)}.String()
}

func TestPayloadsLiveAsLongAsSomeoneRefersToThem(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Hand"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.must(f.call("Echo", ref(0, "1-2")))
			got := f.event("e")
			f.must(f.child("Take", "child", got))
			f.send("other", "e", ref(0, "1-4"))
			return ref(0, "1-5"), nil
		}
		r.flows["Take"] = func(f *flow) (string, *history.TaskFailureDetails) { return "taken", nil }
		r.flows["Collect"] = collect("e", 1)
		_ = r.start("other", "Collect", "null")
		_ = r.start("a", "Hand", ref(0, "1-1"))
		_ = r.raise("a", "e", ref(0, "1-3"))
		r.wants("a", history.Completed, ref(0, "1-5"))
		c := func() *core.Core { return r.nodes[0].core }
		if got := c().Garbage(r.now + 1); len(got) > 0 {
			r.Errorf("garbage while all live: %v", got)
		}
		at := r.now
		_ = r.purge("a")
		// The input of the child and the event of the other are still theirs.
		if got := fmt.Sprint(c().Garbage(r.now + 1)); got != "[1-1 1-2 1-5]" {
			r.Errorf("garbage %v", got)
		}
		if got := c().Garbage(at); len(got) > 0 {
			r.Errorf("garbage since before it was: %v", got)
		}
		_ = r.purge("child")
		_ = r.purge("other")
		if got := fmt.Sprint(c().Garbage(r.now + 1)); got != "[1-1 1-2 1-3 1-4 1-5]" {
			r.Errorf("garbage %v", got)
		}
		r.nodes[0].boot()
		if got := fmt.Sprint(c().Garbage(r.now + 1)); got != "[1-1 1-2 1-3 1-4 1-5]" {
			r.Errorf("after a recovery: garbage %v", got)
		}
	})
}

func TestCollectedGarbageIsForgotten(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Take"] = func(*flow) (string, *history.TaskFailureDetails) { return "taken", nil }
	for n := range 3 {
		id := fmt.Sprint("i", n)
		_ = r.start(id, "Take", ref(0, fmt.Sprint("1-", n)))
		_ = r.purge(id)
	}
	c := r.nodes[0].core
	c.Collected([]string{"1-0", "1-2"})
	if c.Pending() {
		t.Error("forgetting garbage asks for a commit of its own")
	}
	if got := fmt.Sprint(c.Garbage(r.now + 1)); got != "[1-1]" {
		t.Errorf("garbage %v", got)
	}
	_ = r.start("x", "Take", "null") // some commit
	r.nodes[0].boot()
	if got := fmt.Sprint(r.nodes[0].core.Garbage(r.now + 1)); got != "[1-1]" {
		t.Errorf("after a recovery: garbage %v", got)
	}
}

// Two may refer to one object, and garbage may be picked up again.
func TestSharedAndRevivedPayloads(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Take"] = func(*flow) (string, *history.TaskFailureDetails) { return "taken", nil }
		c := func() *core.Core { return r.nodes[0].core }
		_ = r.start("a", "Take", ref(0, "1-1"))
		_ = r.start("b", "Take", ref(0, "1-1"))
		_ = r.purge("a")
		if got := c().Garbage(r.now + 1); len(got) > 0 {
			r.Errorf("garbage %v, though b has it", got)
		}
		_ = r.purge("b")
		if got := c().Garbage(r.now + 1); len(got) != 1 {
			r.Errorf("garbage %v", got)
		}
		_ = r.start("c", "Take", ref(0, "1-1"))
		if got := c().Garbage(r.now + 1); len(got) > 0 {
			r.Errorf("garbage %v, though c has it", got)
		}
		// Another partition's object is not ours to keep or to collect.
		_ = r.start("d", "Take", ref(7, "1-9"))
		_ = r.purge("d")
		if got := c().Garbage(r.now + 1); len(got) > 0 {
			r.Errorf("garbage %v of another partition", got)
		}
	})
}

// The payloads of an execution go with it, those that come along stay.
func TestPayloadsOverContinueAsNew(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Again"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.event("go")
			if f.input != ref(0, "1-2") {
				f.continueAsNew(ref(0, "1-2"), true)
			}
			return f.event("later"), nil
		}
		_ = r.start("a", "Again", ref(0, "1-1"))
		_ = r.raise("a", "later", ref(0, "1-3"))
		_ = r.raise("a", "go", ref(0, "1-4"))
		r.wants("a", history.Running, "")
		if got := fmt.Sprint(r.nodes[0].core.Garbage(r.now + 1)); got != "[1-1 1-4]" {
			r.Errorf("garbage %v", got)
		}
		_ = r.raise("a", "go", "1")
		r.wants("a", history.Completed, ref(0, "1-3"))
		if got := fmt.Sprint(r.nodes[0].core.Garbage(r.now + 1)); got != "[1-1 1-4]" {
			r.Errorf("garbage %v", got)
		}
	})
}

// A task that cannot be carried out fails; the rest of the episode counts.
func TestRejectedActions(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Try"] = func(f *flow) (string, *history.TaskFailureDetails) {
		tasks := []int32{f.call("Hold", "huge"), f.child("Child", "", "huge"), f.call("Echo", "3")}
		var out []string
		for _, task := range tasks {
			out = append(out, f.must(task))
		}
		return strings.Join(out, "; "), nil
	}
	r.post("a", starting("a", "Try", "null"))
	n := r.nodes[0]
	n.take()
	res := n.episode(n.episodes[0])
	n.episodes = nil
	tooLarge := &history.TaskFailureDetails{ErrorType: core.ErrorTypePayloadTooLarge, ErrorMessage: "no"}
	res.Episode.Rejected = map[int32]*history.TaskFailureDetails{0: tooLarge, 1: tooLarge}
	n.core.Done(r.now, res)
	r.run()
	r.wants("a", history.Completed, "failed: PayloadTooLarge: no; failed: PayloadTooLarge: no; 3")
	if r.row("a:1") != nil || len(n.running) > 0 {
		t.Error("what was rejected was started")
	}
	r.audit()
}

// Input never panics us: an app may be of any language, and wrong.
func TestActionsThatMakeNoSense(t *testing.T) {
	call := func(id int32, name string) *history.OrchestratorAction {
		return &history.OrchestratorAction{Id: id, OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
			ScheduleTask: &history.ScheduleTaskAction{Name: name, Input: text("1")}}}
	}
	timer := func(id int32) *history.OrchestratorAction {
		return &history.OrchestratorAction{Id: id, OrchestratorActionType: &history.OrchestratorAction_CreateTimer{
			CreateTimer: &history.CreateTimerAction{}}}
	}
	for name, actions := range map[string][]*history.OrchestratorAction{
		"unknown kind":                {{Id: 0}},
		"two tasks of one number":     {call(0, "Hold"), call(0, "Hold")},
		"a task and a timer":          {call(0, "Hold"), timer(0)},
		"a number that is not a task": {call(-1, "Hold")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, modes[0], 1)
			r.flows["Odd"] = func(f *flow) (string, *history.TaskFailureDetails) {
				f.actions = actions
				panic(waits{})
			}
			_ = r.start("a", "Odd", "null")
			row := r.row("a")
			if row.Status != history.Failed || row.Failure.ErrorType != core.ErrorTypeInvalidAction {
				t.Errorf("%s %v", history.StatusName(row.Status), row.Failure)
			}
			r.advance(1)
			r.audit()
		})
	}
}
