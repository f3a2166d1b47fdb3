package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// desk is a handler that echoes calls and notes what it hears.
type desk struct {
	h       *Host
	posts   []uint64
	lost    []string
	lostAt  time.Duration
	calls   int
	waits   bool // calls are answered when their context ends
	endings []error
}

func (d *desk) Call(ctx context.Context, r *transport.Request) *transport.Response {
	d.calls++
	if d.waits {
		_ = d.h.NewSignal().Wait(ctx)
		d.endings = append(d.endings, context.Cause(ctx))
	}
	return &transport.Response{Text: r.RequestId}
}

func (d *desk) Post(p *transport.Post)      { d.posts = append(d.posts, p.GetMessagesAck().UpTo) }
func (d *desk) Disconnected(address string) { d.lost, d.lostAt = append(d.lost, address), d.h.w.now }

// pair is two hosts that speak to each other.
type pair struct {
	w     *World
	n     *Network
	hosts []*Host
	desks []*desk
	nets  []transport.Network
}

func newPair(seed uint64, weather NetWeather) *pair {
	p := &pair{w: NewWorld(seed, 50)}
	p.n = NewNetwork(p.w)
	p.n.Weather = weather
	for _, name := range []string{"a.1", "b.1"} {
		p.boot(name)
	}
	return p
}

func (p *pair) boot(name string) int {
	h := p.w.NewHost(name, 0)
	d := &desk{h: h}
	net := p.n.of(h)
	net.Serve(d)
	p.hosts, p.desks, p.nets = append(p.hosts, h), append(p.desks, d), append(p.nets, net)
	return len(p.hosts) - 1
}

// outcome is how a call ended.
type outcome struct {
	text string
	err  error
	took time.Duration
}

// call lets host 0 call b, some time from now.
func (p *pair) call(after time.Duration, id string, patience time.Duration) *outcome {
	o := &outcome{err: errors.New("not over")}
	p.w.at(nil, after, func() {
		p.hosts[0].Go(func() {
			ctx, cancel := p.hosts[0].WithTimeout(context.Background(), patience)
			defer cancel()
			began := p.w.now
			r, err := p.nets[0].Peer("b").Call(ctx, &transport.Request{RequestId: id})
			o.text, o.err, o.took = r.GetText(), err, p.w.now-began
		})
	})
	return o
}

// posts lets host 0 send n numbered posts to b, a millisecond apart.
func (p *pair) posts(after time.Duration, n int) {
	for k := range n {
		p.w.at(p.hosts[0], after+time.Duration(k)*time.Millisecond, func() {
			p.nets[0].Peer("b").Post(&transport.Post{What: &transport.Post_MessagesAck{MessagesAck: &transport.MessagesAck{UpTo: uint64(k)}}})
		})
	}
}

func (p *pair) run(t *testing.T, until time.Duration) {
	t.Helper()
	if err := p.w.Run(func() bool { return p.w.now > until }); err != nil {
		t.Fatalf("%v\n%s", err, p.w.Last())
	}
}

func upTo(n int) []uint64 {
	var all []uint64
	for k := range n {
		all = append(all, uint64(k))
	}
	return all
}

func TestNetworkDeliversInOrderWhenCalm(t *testing.T) {
	p := newPair(1, NetWeather{})
	defer p.w.Close()
	o := p.call(0, "x", time.Minute)
	p.posts(0, 500)
	p.run(t, time.Minute)
	if o.err != nil || o.text != "x" {
		t.Errorf("call: %q, %v", o.text, o.err)
	}
	if !slices.Equal(p.desks[1].posts, upTo(500)) {
		t.Errorf("posts: %v", p.desks[1].posts)
	}
	if len(p.desks[0].lost) > 0 {
		t.Errorf("lost: %v", p.desks[0].lost)
	}
}

func TestNetworkPostFaults(t *testing.T) {
	tests := []struct {
		name    string
		weather NetWeather
		ok      func(got []uint64) bool
	}{
		{"lost", NetWeather{Lost: 0.2}, func(got []uint64) bool { return len(got) < 500 && len(got) > 300 && slices.IsSorted(got) }},
		{"twice", NetWeather{Twice: 0.2}, func(got []uint64) bool {
			return len(got) > 550 && len(slices.Compact(slices.Sorted(slices.Values(got)))) == 500
		}},
		{"swapped", NetWeather{Swapped: 0.5, Slow: 20}, func(got []uint64) bool { return len(got) == 500 && !slices.IsSorted(got) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(1, tt.weather)
			defer p.w.Close()
			p.posts(0, 500)
			p.run(t, time.Minute)
			if !tt.ok(p.desks[1].posts) {
				t.Errorf("posts: %v", p.desks[1].posts)
			}
		})
	}
}

func TestNetworkCallFaults(t *testing.T) {
	tests := []struct {
		name                 string
		weather              NetWeather
		answered, heard, not int // at least, at least, at most
	}{
		{"request lost", NetWeather{RequestLost: 0.5}, 60, 60, 140},
		{"answer lost", NetWeather{AnswerLost: 0.5}, 60, 200, 200},
		{"request twice", NetWeather{RequestTwice: 0.5}, 200, 260, 340},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(1, tt.weather)
			defer p.w.Close()
			all := make([]*outcome, 200)
			for k := range all {
				all[k] = p.call(time.Duration(k)*time.Millisecond, fmt.Sprint(k), time.Minute)
			}
			p.run(t, time.Minute)
			answered, slow := 0, 0
			for k, o := range all {
				switch {
				case o.err == nil && o.text == fmt.Sprint(k):
					answered++
				case errors.Is(o.err, transport.ErrUnreachable):
					if o.took > time.Second {
						slow++
					}
				default:
					t.Errorf("call %d: %q, %v", k, o.text, o.err)
				}
			}
			if d := p.desks[1]; answered < tt.answered || d.calls < tt.heard || d.calls > tt.not {
				t.Errorf("%d answered, %d heard", answered, d.calls)
			}
			if failed := len(all) - answered; failed > 0 && (slow == 0 || slow == failed) {
				t.Errorf("of %d failures %d were late: some should be", failed, slow)
			}
		})
	}
}

func TestNetworkCutOneWay(t *testing.T) {
	for _, from := range []string{"a", "b"} {
		t.Run("from "+from, func(t *testing.T) {
			p := newPair(2, NetWeather{})
			defer p.w.Close()
			before := p.call(0, "before", time.Minute)
			p.w.at(nil, time.Second, func() { p.n.cut(from, map[string]string{"a": "b", "b": "a"}[from], 30*time.Second) })
			p.posts(2*time.Second, 1)
			during := p.call(2*time.Second, "during", time.Minute)
			p.posts(40*time.Second, 10)
			after := p.call(40*time.Second, "after", time.Minute)
			p.run(t, time.Minute)
			if before.err != nil || after.err != nil || !errors.Is(during.err, transport.ErrUnreachable) {
				t.Errorf("before %v, during %v, after %v", before.err, during.err, after.err)
			}
			heard, posts := 3, 11
			if from == "a" {
				heard, posts = 2, 10
			}
			if d := p.desks[1]; d.calls != heard || len(d.posts) != posts {
				t.Errorf("b heard %d calls and %d posts, want %d and %d", d.calls, len(d.posts), heard, posts)
			}
			if d := p.desks[0]; !slices.Equal(d.lost, []string{"b"}) || d.lostAt < 3*time.Second || d.lostAt > 10*time.Second {
				t.Errorf("a lost %v at %v", d.lost, d.lostAt)
			}
		})
	}
}

func TestNetworkCrash(t *testing.T) {
	p := newPair(3, NetWeather{})
	defer p.w.Close()
	p.desks[1].waits = true
	inFlight := p.call(0, "in flight", time.Hour)
	p.w.at(nil, time.Second, p.hosts[1].crash)
	dead := p.call(2*time.Second, "dead", time.Hour)
	p.w.at(nil, 20*time.Second, func() { p.boot("b.2") })
	again := p.call(30*time.Second, "again", time.Hour)
	p.run(t, time.Minute)
	if !errors.Is(inFlight.err, transport.ErrUnreachable) || inFlight.took > 2*time.Second {
		t.Errorf("in flight: %v after %v", inFlight.err, inFlight.took)
	}
	if !errors.Is(dead.err, transport.ErrUnreachable) {
		t.Errorf("call of a dead host: %v", dead.err)
	}
	if again.err != nil || again.text != "again" || p.desks[2].calls != 1 {
		t.Errorf("call of its successor: %q, %v", again.text, again.err)
	}
	if lost := p.desks[0].lost; len(lost) != 2 || p.desks[0].lostAt > 12*time.Second {
		t.Errorf("lost: %v, the last at %v", lost, p.desks[0].lostAt)
	}
}

// Who asks and crashes ends what it asked for.
func TestNetworkCallerCrashes(t *testing.T) {
	p := newPair(3, NetWeather{})
	defer p.w.Close()
	p.desks[1].waits = true
	p.call(0, "x", time.Hour)
	p.w.at(nil, time.Second, p.hosts[0].crash)
	p.run(t, 10*time.Second)
	if len(p.desks[1].endings) != 1 {
		t.Error("the call goes on without anybody who waits for it")
	}
}

func TestNetworkFreeze(t *testing.T) {
	p := newPair(4, NetWeather{})
	defer p.w.Close()
	p.call(0, "before", time.Minute)
	freeze := func(d time.Duration) func() {
		return func() {
			p.hosts[1].freeze(d, false)
			p.n.froze(p.hosts[1])
		}
	}
	p.w.at(nil, time.Second, freeze(time.Second))
	short := p.call(1100*time.Millisecond, "short", time.Minute)
	p.w.at(nil, 10*time.Second, freeze(time.Minute))
	long := p.call(11*time.Second, "long", time.Minute)
	p.run(t, 60*time.Second)
	if short.err != nil || short.took < 900*time.Millisecond {
		t.Errorf("call during a short freeze: %v after %v", short.err, short.took)
	}
	if !errors.Is(long.err, transport.ErrUnreachable) || long.took < time.Second || long.took > 10*time.Second {
		t.Errorf("call during a long freeze: %v after %v", long.err, long.took)
	}
	if !slices.Equal(p.desks[0].lost, []string{"b"}) {
		t.Errorf("lost: %v", p.desks[0].lost)
	}
}

func TestNetworkDeadlineReachesTheHandler(t *testing.T) {
	p := newPair(5, NetWeather{})
	defer p.w.Close()
	p.desks[1].waits = true
	o := p.call(0, "x", time.Second)
	p.run(t, 5*time.Second)
	if !errors.Is(o.err, context.DeadlineExceeded) || len(p.desks[1].endings) != 1 {
		t.Errorf("call: %v, %d ended", o.err, len(p.desks[1].endings))
	}
}

func TestNetworkClose(t *testing.T) {
	p := newPair(6, NetWeather{})
	defer p.w.Close()
	p.desks[1].waits = true
	o := p.call(0, "x", time.Hour)
	closed := false
	p.w.at(nil, time.Second, func() {
		p.hosts[1].Go(func() {
			p.nets[1].Close()
			closed = len(p.desks[1].endings) == 1
		})
	})
	late := p.call(2*time.Second, "late", time.Hour)
	p.run(t, time.Minute)
	if !closed {
		t.Error("Close does not wait for the calls of the handler, or they do not end")
	}
	for _, o := range []*outcome{o, late} {
		if !errors.Is(o.err, transport.ErrUnreachable) {
			t.Errorf("call: %v", o.err)
		}
	}
	if len(p.desks[1].lost) > 0 {
		t.Error("a closed host hears of losses")
	}
}

// One seed, one course, with everything that can go wrong.
func TestNetworkIsDeterministic(t *testing.T) {
	play := func() uint64 {
		p := newPair(7, NetWeather{Lost: 0.1, Twice: 0.1, Swapped: 0.1, RequestLost: 0.1, RequestTwice: 0.1, AnswerLost: 0.1, Slow: 5})
		defer p.w.Close()
		for k := range 100 {
			p.call(time.Duration(k)*time.Second/10, fmt.Sprint(k), time.Second)
		}
		p.posts(0, 500)
		p.w.at(nil, 3*time.Second, func() { p.n.cut("a", "b", time.Second) })
		p.w.at(nil, 6*time.Second, p.hosts[1].crash)
		p.w.at(nil, 7*time.Second, func() { p.boot("b.2") })
		p.run(t, time.Minute)
		p.w.tracef("%v %v", p.desks[1].posts, p.desks[2].posts)
		return p.w.Hash()
	}
	if a, b := play(), play(); a != b {
		t.Error("one seed, two courses")
	}
}
