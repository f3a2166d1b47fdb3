package placement

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// bubble is the real scheduler on the clock of a synctest bubble.
type bubble struct {
	sched.Scheduler
	began time.Time
}

func (b bubble) Mono() time.Duration { return time.Since(b.began) }

// hosts are the other hosts of a hub.
type hosts struct {
	list    []cluster.Host
	leaving bool
}

func (h *hosts) Hosts() []cluster.Host { return h.list }
func (h *hosts) Leaving() bool         { return h.leaving }

// recorder is an executor that answers nothing by itself.
type recorder struct {
	began   []*work.Item
	cancels []work.Token
	results func([]*work.Result)
}

func (r *recorder) Submit(b work.Batch, results func([]*work.Result)) {
	r.began = append(r.began, b.Items...)
	r.cancels = append(r.cancels, b.Cancels...)
	r.results = results
}

// inBubble runs a test on a Placement without a network, in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, p *Placement, r *recorder, h *hosts)) {
	synctest.Test(t, func(t *testing.T) {
		r, h := &recorder{}, &hosts{}
		p := New(Config{
			Hub: "hub", Address: "here", Lease: time.Minute, Exec: r, Sched: bubble{sched.Real(), time.Now()}, Hosts: h, Log: hclog.NewNullLogger(),
		})
		f(t, p, r, h)
	})
}

func call(epoch uint64, instance string) *work.Item {
	return work.NewActivity(work.Item{Token: work.Token{Epoch: epoch, Serial: 1}, Task: work.Task{Instance: instance}, Name: "Say"}, work.Activity{})
}

func sent(items ...*work.Item) *transport.Work {
	m := &transport.Work{Owner: "elsewhere"}
	for _, it := range items {
		m.Items = append(m.Items, toItem(it))
	}
	return m
}

// An owner that has been fenced and does not know it asks once more for what has gone on
// for the new owner: that changes nothing.
func TestFormerOwnersAreNotServed(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Placement, r *recorder, _ *hosts) {
		p.Work(sent(call(4, "i")))
		p.Work(sent(call(5, "i"))) // the new owner takes it over
		p.Work(sent(call(4, "i")))
		if len(r.began) != 1 {
			t.Fatalf("it was begun %d times", len(r.began))
		}
		r.results([]*work.Result{work.ActivityDone(r.began[0].Token, work.ActivityResult{})})
		if f := p.worker.items[work.Token{Epoch: 5, Serial: 1}]; f == nil || !f.finished() || len(p.worker.items) != 1 {
			t.Errorf("the new owner's call is %+v of %d", f, len(p.worker.items))
		}
	})
}

// A message that comes twice, or after the result was taken, begins nothing again; but when
// its owner asks for the item, and nobody knows it, it is begun when it is sent again.
func TestRepeatedWorkIsBegunOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Placement, r *recorder, _ *hosts) {
		it := call(1, "i")
		p.Work(sent(it))
		p.Work(sent(it))
		r.results([]*work.Result{work.ActivityDone(it.Token, work.ActivityResult{})})
		p.ResultsAck(&transport.ResultsAck{Tokens: []*transport.Token{toToken(it.Token)}})
		p.Work(sent(it))
		if len(r.began) != 1 {
			t.Errorf("it was begun %d times", len(r.began))
		}
		a := p.Answer(&transport.Request{Op: &transport.Request_Poll{Poll: &transport.Poll{Owner: "elsewhere", Tokens: []*transport.Token{toToken(it.Token)}}}})
		if len(a.Unknown) != 1 {
			t.Fatalf("unknown are %v", a.Unknown)
		}
		p.Work(sent(it))
		if len(r.began) != 2 {
			t.Errorf("after its owner asked, it was begun %d times", len(r.began))
		}
	})
}

// A host that leaves begins nothing for others, and offers a new owner only results.
func TestALeavingHostTakesNoWork(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Placement, r *recorder, h *hosts) {
		p.Work(sent(call(1, "running")))
		h.leaving = true
		p.Work(sent(call(1, "late")))
		if len(r.began) != 1 {
			t.Errorf("begun were %d", len(r.began))
		}
		inFlight := &transport.Request{Op: &transport.Request_InFlight{InFlight: &transport.InFlight{Epoch: 2}}}
		if a := p.Answer(inFlight); len(a.Tasks) != 0 {
			t.Errorf("offered are %v", a.Tasks)
		}
		r.results([]*work.Result{work.ActivityDone(r.began[0].Token, work.ActivityResult{})})
		if a := p.Answer(inFlight); len(a.Tasks) != 1 || a.Tasks[0].Instance != "running" {
			t.Errorf("offered are %v", a.Tasks)
		}
	})
}

// A result that nobody takes is kept for a while, and only so many bytes of them.
func TestResultsAreKeptWithinBounds(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Placement, _ *recorder, _ *hosts) {
		big := string(make([]byte, maxKept/4))
		for n := range 6 {
			token := work.Token{Epoch: 1, Serial: uint64(n)}
			p.worker.keep(work.Task{Instance: fmt.Sprint("i", n)}, work.ActivityDone(token, work.ActivityResult{Result: &big}))
		}
		if tasks := p.worker.tasks(0, 2); len(tasks) != 3 || tasks[0].Instance != "i3" {
			t.Errorf("kept are %v", tasks)
		}
		time.Sleep(keptFor)
		if tasks := p.worker.tasks(0, 2); len(tasks) != 0 || p.worker.bytes != 0 {
			t.Errorf("after %v kept are %v, %d bytes", keptFor, tasks, p.worker.bytes)
		}
	})
}

// An item goes to this host while it has free slots, then to the one with the most; to
// another at once if only that has the function, and to the one that parks the execution
// before all.
func TestPick(t *testing.T) {
	hello, say := work.Function{Kind: work.Orchestrator, Name: "Hello"}, work.Function{Kind: work.ActivityFunction, Name: "Say"}
	host := func(free int, can ...work.Function) *peer {
		x := &peer{can: capabilities{}, free: [work.Kinds]int{free, free}}
		for _, f := range can {
			x.can[folded(f)] = true
		}
		return x
	}
	for _, tt := range []struct {
		name   string
		local  []work.Function
		free   int
		a, b   *peer
		f      work.Function
		sticky string
		want   string // "": this host
	}{
		{"this host first", []work.Function{say}, 1, host(9, say), host(9, say), say, "", ""},
		{"this host is full", []work.Function{say}, 0, host(1, say), host(2, say), say, "", "b"},
		{"all are full: it queues on this host", []work.Function{say}, 0, host(0, say), host(0, say), say, "", ""},
		{"only others have it", nil, 5, host(1, say), host(0, say), say, "", "a"},
		{"only others have it, and are full", nil, 5, host(0, say), host(0, hello), say, "", "a"},
		{"nobody has it", nil, 5, host(1, hello), host(1, hello), say, "", ""},
		{"it is parked elsewhere", []work.Function{hello}, 5, host(9, hello), host(1, hello), hello, "b", "b"},
		{"the host that parks it is full", []work.Function{hello}, 5, host(9, hello), host(0, hello), hello, "b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := choice{others: []candidate{{"a", tt.a}, {"b", tt.b}}, free: [work.Kinds]int{tt.free, tt.free}}
			if got, other := c.pick(tt.f, slices.Contains(tt.local, tt.f), tt.sticky); got != tt.want || other != (tt.want != "") {
				t.Errorf("it goes to %q", got)
			}
		})
	}
}
