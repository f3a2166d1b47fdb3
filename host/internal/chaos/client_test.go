package main

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
)

// hub is a host that answers as it is told, in turn; the last answer stays. 0 cuts the
// connection.
type hub struct {
	mu      sync.Mutex
	answers []int
	keys    []string // of the requests that came
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	code := h.answers[0]
	if len(h.answers) > 1 {
		h.answers = h.answers[1:]
	}
	h.keys = append(h.keys, r.Header.Get("Idempotency-Key"))
	h.mu.Unlock()
	if code == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(code)
	if code == http.StatusConflict {
		_, _ = io.WriteString(w, `{"ExceptionType":"InstanceAlreadyExists"}`)
	}
}

// seen are the keys of the requests that came. The lock also orders them for the race
// detector, which a connection that is cut does not.
func (h *hub) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys)
}

func clientOf(t *testing.T, keyed bool, answers ...int) (*client, *hub) {
	t.Helper()
	h := &hub{answers: answers}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	f := &fleet{nodes: []*node{{url: s.URL}}}
	return &client{rec: newRecorder(io.Discard), rng: rand.New(rand.NewPCG(1, 1)), lb: newBalancer(f), keyed: keyed}, h
}

func TestWhatAnAnswerTells(t *testing.T) {
	tests := []struct {
		name    string
		keyed   bool
		answers []int
		want    string
		bounded bool // the operation has an end
		finding bool
	}{
		{"accepted", true, []int{202}, accepted, true, false},
		{"accepted after troubles", true, []int{503, 0, 500, 202}, accepted, true, false},
		{"gone", true, []int{410}, gone, true, false},
		{"unknown instance", true, []int{404}, absent, true, false},
		{"gone after a cut, under one key", true, []int{0, 410}, gone, true, false},
		{"gone after a cut, without keys: perhaps by our own event", false, []int{0, 410}, unknown, false, false},
		{"an answer that makes no sense", true, []int{418}, unknown, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, h := clientOf(t, tt.keyed, tt.answers...)
			got, attempts := c.raise(t.Context(), "x", workload.Message, workload.Msg{ID: "m"}, false, 1)
			if got != tt.want || attempts != len(tt.answers) {
				t.Errorf("got %s after %d attempts, want %s after %d", got, attempts, tt.want, len(tt.answers))
			}
			keys := h.seen()
			for _, k := range keys {
				if k == "" || k != keys[0] {
					t.Errorf("keys of one request: %q", keys)
				}
			}
			ops := c.rec.all()
			if len(ops) != 1 || ops[0].Result != tt.want || (ops[0].Return != forever) != tt.bounded {
				t.Errorf("recorded %+v", ops)
			}
			if want := map[bool]int{true: 1, false: attempts}[tt.keyed]; len(ops) == 1 && ops[0].Weight != want {
				t.Errorf("it adds %d messages at most, want %d", ops[0].Weight, want)
			}
			if got := c.rec.found() > 0; got != tt.finding {
				t.Errorf("finding: %v, want %v", got, tt.finding)
			}
		})
	}
}

func TestRequestsHaveKeysOfTheirOwn(t *testing.T) {
	c, h := clientOf(t, true, 202)
	d := c.fork()
	c.raise(t.Context(), "x", "e", nil, false, 0)
	c.raise(t.Context(), "x", "e", nil, false, 0)
	d.raise(t.Context(), "x", "e", nil, false, 0)
	if keys := h.seen(); len(keys) != 3 || keys[0] == keys[1] || keys[0] == keys[2] || keys[1] == keys[2] {
		t.Errorf("keys are %q", keys)
	}
}

func TestStartIsAcknowledged(t *testing.T) {
	tests := []struct {
		name         string
		keyed        bool
		answers      []int
		acked, again bool
	}{
		{"accepted", true, []int{202}, true, false},
		{"accepted at the second attempt, under one key", true, []int{0, 202}, true, false},
		{"accepted at the second attempt, perhaps for the second time", false, []int{0, 202}, true, true},
		{"there already, by the first attempt", false, []int{0, 409}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := clientOf(t, tt.keyed, tt.answers...)
			i := &instance{ID: "x", Name: workload.GateName}
			c.start(t.Context(), i, nil)
			if i.acked != tt.acked || i.again != tt.again {
				t.Errorf("acknowledged %v, again %v, want %v, %v", i.acked, i.again, tt.acked, tt.again)
			}
			if c.rec.found() > 0 {
				t.Errorf("found %v", c.rec.findings)
			}
			if len(c.rec.registered()) != 1 {
				t.Error("the audit does not know it")
			}
		})
	}
}

func TestBalancerAvoidsWhoDoesNotAnswer(t *testing.T) {
	b := newBalancer(&fleet{nodes: []*node{{url: "a"}, {url: "b"}, {url: "c"}}})
	rng := rand.New(rand.NewPCG(1, 1))
	chosen := func() map[int]int {
		m := map[int]int{}
		for range 100 {
			m[b.choose(rng)]++
		}
		return m
	}
	if m := chosen(); len(m) != 3 {
		t.Errorf("while all answer it chooses %v", m)
	}
	now := time.Now()
	for range 20 { // to the longest pause
		now = now.Add(time.Second)
		b.fails(1, now)
		b.hosts[1].since = now
	}
	if m := chosen(); m[1] > 0 || len(m) != 2 {
		t.Errorf("while host 1 fails it chooses %v", m)
	}
	b.hosts[1].until = time.Time{} // its time has come
	if m := chosen(); m[1] != 1 {
		t.Errorf("of 100 requests %d go to a host on trial, want 1", m[1])
	}
	b.answers(1)
	if m := chosen(); len(m) != 3 {
		t.Errorf("when host 1 answers again it chooses %v", m)
	}
	for i := range 3 {
		b.fails(i, time.Now())
	}
	if i := b.choose(rng); i < 0 || i > 2 {
		t.Errorf("when nobody answers it chooses %d", i)
	}
}

func TestWatcherLooksOnceAndRecordsWhatItSees(t *testing.T) {
	for code, want := range map[int]int{http.StatusNotFound: 1, http.StatusServiceUnavailable: 0, 0: 0} {
		c, h := clientOf(t, true, code)
		c.look(t.Context(), "x", 0)
		if ops := c.rec.all(); len(ops) != want || len(h.seen()) != 1 {
			t.Errorf("answer %d: recorded %+v of %d requests", code, ops, len(h.seen()))
		}
		if c.rec.recent(5) != "" {
			t.Error("it knows an instance that nobody made known")
		}
		c.rec.register(&instance{ID: "y"})
		if got := c.rec.recent(5); got != "y" {
			t.Errorf("it looks at %q", got)
		}
	}
}

// TestHastyClientRepeatsUnderOneKey: the first attempt that comes is still at work when the
// next one comes. On a busy machine the client may have given up one before that.
func TestHastyClientRepeatsUnderOneKey(t *testing.T) {
	keys, release := make(chan string, 10), make(chan struct{})
	var first atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		if first.CompareAndSwap(false, true) {
			<-release
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	defer close(release)
	c := &client{rec: newRecorder(io.Discard), lb: newBalancer(&fleet{nodes: []*node{{url: s.URL}}}), keyed: true, hasty: true}
	for seed := uint64(0); ; seed++ { // one whose first request is given up
		if c.rng = rand.New(rand.NewPCG(seed, 0)); givesUp(seed) {
			break
		}
	}
	if result, attempts := c.raise(t.Context(), "x", "e", nil, false, 0); result != accepted || attempts < 2 {
		t.Errorf("%s after %d attempts, want accepted after 2", result, attempts)
	}
	if a, b := <-keys, <-keys; a != b {
		t.Errorf("keys %s and %s, want one", a, b)
	}
	if h := c.lb.hosts[0]; h.avoid != 0 {
		t.Errorf("the host is avoided for %v, and did nothing wrong", h.avoid)
	}
}

// givesUp reports whether a client with this seed gives up its first request: after the key
// and the choice of one host it draws whether.
func givesUp(seed uint64) bool {
	rng := rand.New(rand.NewPCG(seed, 0))
	_, _ = rng.Uint64(), rng.Uint64()
	return rng.IntN(hastyOnceIn) == 0
}
