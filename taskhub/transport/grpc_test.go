package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child()
	goleak.VerifyTestMain(m)
}

// patience is for what must happen at all: a machine may have other things to do.
const patience = 2 * time.Minute

// hand is a Handler whose parts a test can see and replace.
type hand struct {
	call  func(ctx context.Context, r *Request) *Response
	post  func(p *Post)
	posts chan *Post
	lost  chan string
}

func newHand() *hand {
	h := &hand{posts: make(chan *Post, 100_000), lost: make(chan string, 1000)}
	h.call = func(_ context.Context, r *Request) *Response {
		answer := &Response{Text: r.RequestId}
		if start := r.GetStart(); start != nil {
			answer.Instance = &Instance{Input: start.Input}
		}
		return answer
	}
	h.post = func(p *Post) { h.posts <- p }
	return h
}

func (h *hand) Call(ctx context.Context, r *Request) *Response { return h.call(ctx, r) }
func (h *hand) Post(p *Post)                                   { h.post(p) }
func (h *hand) Disconnected(address string)                    { h.lost <- address }

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, KeySize) }

// open makes a network that is closed with the test.
func open(t *testing.T, h Handler, change ...func(g *GRPC, o *GRPCOptions)) *GRPC {
	t.Helper()
	o := GRPCOptions{Listen: "127.0.0.1:0", Hub: "0123abcd", Key: key(1)}
	for _, f := range change {
		f(nil, &o)
	}
	g, err := NewGRPC(o)
	if err != nil {
		t.Fatal(err)
	}
	g.timing.grace = 200 * time.Millisecond
	for _, f := range change {
		f(g, &o)
	}
	g.Serve(h)
	t.Cleanup(g.Close)
	return g
}

// patient lets what waits at Close be sent, however long that takes here.
func patient(g *GRPC, _ *GRPCOptions) {
	if g != nil {
		g.timing.grace = patience
	}
}

// home is an address at which one host after another lives. A port that was given back
// could be anybody's by the time that the next one listens.
type home struct{ port atomic.Pointer[string] }

const atHome = "home:1"

// live lets g be found there; nil: nobody.
func (h *home) live(g *GRPC) {
	if g == nil {
		h.port.Store(nil)
		return
	}
	address := g.Address()
	h.port.Store(&address)
}

// known lets a network find whoever lives there.
func (h *home) known(g *GRPC, _ *GRPCOptions) {
	if g == nil {
		return
	}
	dial := g.dial
	g.dial = func(ctx context.Context, address string) (net.Conn, error) {
		if address != atHome {
			return dial(ctx, address)
		}
		port := h.port.Load()
		if port == nil {
			return nil, errors.New("nobody is at home")
		}
		return dial(ctx, *port)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// next waits for something from a channel.
func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing comes", what)
		panic("unreachable")
	}
}

func numbered(n int) *Post {
	return &Post{What: &Post_MessagesAck{MessagesAck: &MessagesAck{UpTo: uint64(n)}}}
}

func TestCall(t *testing.T) {
	a, b := open(t, newHand()), open(t, newHand())
	r, err := a.Peer(b.Address()).Call(within(t), &Request{RequestId: "x"})
	if err != nil || r.Text != "x" {
		t.Errorf("Call: %v, %v", r, err)
	}
	if a.Peer(b.Address()) != a.Peer(b.Address()) {
		t.Error("one address, two peers")
	}
}

func TestAddressThatIsNone(t *testing.T) {
	ha := newHand()
	a := open(t, ha)
	for _, address := range []string{"", "nowhere", "[::1%none]:1", "127.0.0.1:%zz"} {
		if _, err := a.Peer(address).Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("Call of %q: %v", address, err)
		}
		if lost := next(t, "Lost", ha.lost); lost != address {
			t.Errorf("lost %q, want %q", lost, address)
		}
	}
}

func TestPostsKeepTheirOrderAndAreBatched(t *testing.T) {
	hb := newHand()
	var writes atomic.Int64
	a, b := open(t, newHand(), func(g *GRPC, _ *GRPCOptions) {
		if g != nil {
			g.dial = counting(&writes)
		}
	}), open(t, hb)
	const n = 5000
	for k := range n {
		a.Peer(b.Address()).Post(numbered(k))
	}
	for k := range n {
		if got := next(t, "post", hb.posts).GetMessagesAck().UpTo; got != uint64(k) {
			t.Fatalf("post %d comes as number %d", got, k)
		}
	}
	if writes.Load() > n/10 {
		t.Errorf("%d writes for %d posts that waited together", writes.Load(), n)
	}
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func counting(writes *atomic.Int64) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return countingConn{conn, writes}, err
	}
}

func TestLargeMessages(t *testing.T) {
	hb := newHand()
	a, b := open(t, newHand()), open(t, hb)
	large := strings.Repeat("x", 64<<20)
	r, err := a.Peer(b.Address()).Call(within(t), &Request{Op: &Request_Start{Start: &Start{Input: &large}}})
	if err != nil || r.Instance.GetInput() != large {
		t.Errorf("Call: %d bytes came back, %v", len(r.GetInstance().GetInput()), err)
	}
	a.Peer(b.Address()).Post(&Post{What: &Post_Messages{Messages: &Messages{Messages: [][]byte{[]byte(large)}}}})
	if p := next(t, "post", hb.posts); len(p.GetMessages().Messages[0]) != len(large) {
		t.Error("a large post is cut")
	}
	// Above MaxMessage there is an answer too, and the connection goes on.
	huge := strings.Repeat("x", MaxMessage)
	r, err = a.Peer(b.Address()).Call(within(t), &Request{Op: &Request_Start{Start: &Start{Input: &huge}}})
	if err != nil || r.Code != Code_PAYLOAD_TOO_LARGE {
		t.Errorf("Call with more than MaxMessage: %v, %v", r.GetCode(), err)
	}
	hb.call = func(context.Context, *Request) *Response { return &Response{Text: huge} }
	r, err = a.Peer(b.Address()).Call(within(t), &Request{})
	if err != nil || r.Code != Code_PAYLOAD_TOO_LARGE {
		t.Errorf("answer with more than MaxMessage: %v, %v", r.GetCode(), err)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	hb := newHand()
	began, ended := make(chan bool), make(chan bool)
	hb.call = func(ctx context.Context, _ *Request) *Response {
		began <- true
		<-ctx.Done()
		ended <- true
		return &Response{}
	}
	a, b := open(t, newHand()), open(t, hb)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	failed := make(chan error)
	go func() {
		_, err := a.Peer(b.Address()).Call(ctx, &Request{})
		failed <- err
	}()
	next(t, "the call", began)
	cancel(why)
	next(t, "its end", ended)
	if err := next(t, "its error", failed); !errors.Is(err, why) {
		t.Errorf("Call: %v, want the cause", err)
	}
}

func TestDeadlineIsTheContextsError(t *testing.T) {
	hb, seen := newHand(), make(chan struct{})
	hb.call = func(context.Context, *Request) *Response { <-seen; return &Response{} }
	a, b := open(t, newHand()), open(t, hb)
	defer close(seen)
	// It may be over before the connection is made, or while the handler waits.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Peer(b.Address()).Call(ctx, &Request{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnreachable) {
		t.Errorf("Call: %v", err)
	}
}

func TestHandlersFailures(t *testing.T) {
	hb := newHand()
	hb.call = func(_ context.Context, r *Request) *Response {
		if r.RequestId == "nothing" {
			return nil
		}
		panic("call")
	}
	hb.post = func(p *Post) {
		if p.GetMessagesAck().UpTo == 0 {
			panic("post")
		}
		hb.posts <- p
	}
	a, b := open(t, newHand()), open(t, hb)
	for _, id := range []string{"nothing", "panic"} {
		r, err := a.Peer(b.Address()).Call(within(t), &Request{RequestId: id})
		if err != nil || r.Code != Code_OTHER {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
	a.Peer(b.Address()).Post(numbered(0))
	a.Peer(b.Address()).Post(numbered(1))
	if p := next(t, "post", hb.posts); p.GetMessagesAck().UpTo != 1 {
		t.Errorf("post: %v", p)
	}
}

func TestLostAndReconnect(t *testing.T) {
	ha, hb, h := newHand(), newHand(), home{}
	a, b := open(t, ha, h.known), open(t, hb)
	h.live(b)
	peer := a.Peer(atHome)
	if _, err := peer.Call(within(t), &Request{}); err != nil {
		t.Fatal(err)
	}
	h.live(nil)
	b.Close()
	if lost := next(t, "Lost", ha.lost); lost != atHome {
		t.Errorf("lost %s", lost)
	}
	if _, err := peer.Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Call of a host that is gone: %v", err)
	}
	next(t, "Lost, for the attempt", ha.lost)
	hc := newHand()
	h.live(open(t, hc))
	// A Call tries at once, whatever the back-off.
	if r, err := peer.Call(within(t), &Request{RequestId: "again"}); err != nil || r.Text != "again" {
		t.Errorf("Call of its successor: %v, %v", r, err)
	}
	peer.Post(numbered(7))
	if p := next(t, "post", hc.posts); p.GetMessagesAck().UpTo != 7 {
		t.Errorf("post: %v", p)
	}
}

// Posts alone come back too, after a back-off.
func TestPostsReconnect(t *testing.T) {
	ha, hb, h := newHand(), newHand(), home{}
	a, b := open(t, ha, h.known), open(t, hb)
	h.live(b)
	peer := a.Peer(atHome)
	peer.Post(numbered(1))
	next(t, "post", hb.posts)
	h.live(nil)
	b.Close()
	next(t, "Lost", ha.lost)
	attempts := 0
	began := time.Now()
	for attempts < 3 {
		if time.Since(began) > patience {
			t.Fatalf("%d attempts in %v", attempts, patience)
		}
		peer.Post(numbered(2))
		select {
		case <-ha.lost:
			attempts++
		case <-time.After(time.Millisecond):
		}
	}
	// Each waits half of its back-off at least, which doubles: 50, 50, and 100 ms.
	if took := time.Since(began); took < 2*a.timing.minBackoff {
		t.Errorf("%d attempts within %v", attempts, took)
	}
	hc := newHand()
	h.live(open(t, hc))
	for deadline := time.Now().Add(patience); ; {
		peer.Post(numbered(3))
		select {
		case <-hc.posts:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("no post arrives any more")
		}
	}
}

func TestCloseOfAPeer(t *testing.T) {
	ha, hb := newHand(), newHand()
	a, b := open(t, ha), open(t, hb)
	peer := a.Peer(b.Address())
	if _, err := peer.Call(within(t), &Request{}); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	peer.Close()
	if _, err := peer.Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Call after Close: %v", err)
	}
	peer.Post(numbered(1))
	fresh := a.Peer(b.Address())
	if fresh == peer {
		t.Fatal("a closed peer is given out")
	}
	fresh.Post(numbered(2))
	if p := next(t, "post", hb.posts); p.GetMessagesAck().UpTo != 2 {
		t.Errorf("post: %v", p)
	}
	a.Close()
	if len(ha.lost) > 0 {
		t.Errorf("lost what was closed: %s", <-ha.lost)
	}
}

// Close sends what waits, lets calls end, and cuts them short after the grace.
func TestClose(t *testing.T) {
	hb := newHand()
	ending := make(chan bool, 1)
	began := make(chan bool)
	hb.call = func(ctx context.Context, r *Request) *Response {
		began <- true
		if r.RequestId == "long" {
			<-ctx.Done()
			ending <- true
		}
		return &Response{}
	}
	a, b := open(t, newHand(), patient), open(t, hb)
	for k := range 1000 {
		a.Peer(b.Address()).Post(numbered(k))
	}
	failed := make(chan error)
	go func() {
		_, err := open(t, newHand()).Peer(b.Address()).Call(context.Background(), &Request{RequestId: "long"})
		failed <- err
	}()
	next(t, "call", began)
	a.Close()
	for range 1000 {
		next(t, "post", hb.posts)
	}
	b.Close()
	select {
	case <-ending:
	default:
		t.Error("Close returns while a call of the handler runs")
	}
	if err := next(t, "error", failed); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Call: %v", err)
	}
	b.Close()
}

// The queue to a host that takes nothing is bounded, and what is left of it comes in
// order.
func TestQueueIsBounded(t *testing.T) {
	hb := newHand()
	gate := make(chan bool)
	hb.post = func(p *Post) {
		<-gate
		hb.posts <- p
	}
	a, b := open(t, newHand()), open(t, hb)
	peer := a.Peer(b.Address()).(*grpcPeer)
	body := make([]byte, 64<<10)
	const n = 1000 // 62 MiB
	for k := range n {
		peer.Post(&Post{What: &Post_Messages{Messages: &Messages{First: uint64(k), Messages: [][]byte{body}}}})
		l := peer.use(true)
		l.mu.Lock()
		waiting := l.bytes
		l.mu.Unlock()
		if waiting > maxWaiting {
			t.Fatalf("%d bytes wait", waiting)
		}
	}
	close(gate)
	var got []uint64
	for last := false; !last; {
		select {
		case p := <-hb.posts:
			if last = p.GetMessages() == nil; !last {
				got = append(got, p.GetMessages().First)
			}
		case <-time.After(10 * time.Millisecond):
			peer.Post(numbered(0)) // comes last, once there is room for it
		case <-t.Context().Done():
			t.Fatal("the last post does not come")
		}
	}
	if !slices.IsSorted(got) || len(got) < maxWaiting>>16/2 || len(got) > n/2 {
		t.Errorf("%d of %d posts arrive, sorted: %v", len(got), n, slices.IsSorted(got))
	}
}

// Calls and posts to many at once, while one comes and goes.
func TestConcurrentUse(t *testing.T) {
	ha, h := newHand(), home{}
	a, b := open(t, ha, h.known), open(t, newHand())
	c := open(t, newHand())
	h.live(c)
	const address = atHome
	ctx := within(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 100 {
				id := fmt.Sprint(n, k)
				if r, err := a.Peer(b.Address()).Call(ctx, &Request{RequestId: id}); err != nil || r.Text != id {
					t.Errorf("Call: %v, %v", r, err)
				}
				if _, err := a.Peer(address).Call(ctx, &Request{}); err != nil && !errors.Is(err, ErrUnreachable) {
					t.Errorf("Call: %v", err)
				}
				a.Peer(b.Address()).Post(numbered(k))
				a.Peer(address).Post(numbered(k))
				if k == 50 {
					a.Peer(address).Close()
				}
			}
		})
	}
	for range 3 {
		h.live(nil)
		c.Close()
		c = open(t, newHand())
		h.live(c)
	}
	wg.Wait()
}
