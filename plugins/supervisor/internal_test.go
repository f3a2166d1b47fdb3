package supervisor

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
)

func TestBackoff(t *testing.T) {
	var b backoff
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		if got := b.after(time.Second); got != want*time.Millisecond {
			t.Errorf("restart %d after %v, want %v", i, got, want*time.Millisecond)
		}
	}
	if got := b.after(healthyAfter); got != backoffFirst {
		t.Errorf("after a healthy minute: %v, want %v", got, backoffFirst)
	}
	if got := b.after(0); got != 2*backoffFirst {
		t.Errorf("and then: %v, want %v", got, 2*backoffFirst)
	}
}

func TestWatchlist(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	one := func(size int64) []candidate {
		return []candidate{{name: "a", print: fingerprint{size: size, mtime: t0.UnixNano()}}}
	}
	w := debouncer{debounce: 300 * time.Millisecond, seen: map[string]*observation{}}
	steps := []struct {
		name   string
		at     int
		found  []candidate
		ready  int
		gone   int
		moving bool
	}{
		{"new files wait", 0, one(1), 0, 0, true},
		{"a growing file starts over", 200, one(2), 0, 0, true},
		{"not yet at rest", 400, one(2), 0, 0, true},
		{"at rest", 500, one(2), 1, 0, false},
		{"offered once", 900, one(2), 0, 0, false},
		{"changed", 1000, one(3), 0, 0, true},
		{"changed and at rest", 1300, one(3), 1, 0, false},
		{"missing is not gone yet", 1400, nil, 0, 0, true},
		{"back again is a change", 1500, one(3), 0, 0, true},
		{"back and at rest", 1800, one(3), 1, 0, false},
		{"missing again", 2000, nil, 0, 0, true},
		{"gone", 2300, nil, 0, 1, false},
		{"forgotten", 2600, nil, 0, 0, false},
	}
	for _, s := range steps {
		ready, gone, moving := w.update(at(s.at), s.found, false)
		if len(ready) != s.ready || len(gone) != s.gone || moving != s.moving {
			t.Errorf("%s: ready %d gone %d moving %v", s.name, len(ready), len(gone), moving)
		}
	}
	if ready, _, _ := w.update(at(5000), one(4), true); len(ready) != 1 {
		t.Error("an old file is not taken at once at the start")
	}
}

type silent struct{ returned []uint64 }

func (*silent) Results(*protocol.AppFrame)  {}
func (s *silent) Returned(works []uint64)   { s.returned = append(s.returned, works...) }
func (*silent) Lost(works []uint64, _ bool) {}

func episodes(from, n int, bytes int) *protocol.HostFrame {
	f := &protocol.HostFrame{}
	for i := range n {
		f.Orchestrators = append(f.Orchestrators, &protocol.OrchestratorWork{Work: uint64(from + i), NewEvents: make([]byte, bytes)})
	}
	return f
}

func TestStreamFrames(t *testing.T) {
	s := newStream(&silent{}, 7)
	f := &s.frame
	if _, ok := s.fill(); !ok || f.HostServices != 7 {
		t.Fatalf("first frame: %v %+v", ok, f)
	}
	s.send(episodes(0, 200, 10))
	if _, ok := s.fill(); ok {
		t.Fatal("sent without credit")
	}
	s.received(&protocol.AppFrame{OrchestratorCredit: 150})
	var sizes []int
	for {
		if _, ok := s.fill(); !ok {
			break
		}
		if f.Orchestrators[0].Work != uint64(64*len(sizes)) {
			t.Errorf("frame %d begins with item %d", len(sizes), f.Orchestrators[0].Work)
		}
		sizes = append(sizes, len(f.Orchestrators))
	}
	if !slices.Equal(sizes, []int{64, 64, 22}) {
		t.Errorf("frames of %v items, want 64, 64, 22", sizes)
	}
	unsent, lost := s.close()
	if len(unsent) != 50 || len(lost) != 150 {
		t.Errorf("close: %d unsent, %d lost; want 50, 150", len(unsent), len(lost))
	}
	if s.send(episodes(1000, 1, 1)) {
		t.Error("a closed stream takes work")
	}
}

func TestStreamFrameBytes(t *testing.T) {
	s := newStream(&silent{}, 0)
	f := &s.frame
	s.fill()
	s.received(&protocol.AppFrame{OrchestratorCredit: 10, ActivityCredit: 10})
	s.send(episodes(0, 1, 3*frameBytes))
	s.send(episodes(1, 3, frameBytes/2))
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{{Work: 9, Input: wrapperspb.String("x")}}})
	var got []int
	for {
		if _, ok := s.fill(); !ok {
			break
		}
		got = append(got, len(f.Orchestrators)*10+len(f.Activities))
	}
	if !slices.Equal(got, []int{10, 20, 11}) {
		t.Errorf("frames (episodes, activities) %v, want [10 20 11]: a large item travels alone", got)
	}
}

func TestStreamCreditIsOfOneKind(t *testing.T) {
	s := newStream(&silent{}, 0)
	f := &s.frame
	s.fill()
	all := &protocol.HostFrame{
		Orchestrators: []*protocol.OrchestratorWork{{Work: 1}, {Work: 2}},
		Activities:    []*protocol.ActivityWork{{Work: 3}, {Work: 4}},
		Invocations:   []*protocol.Invocation{{Work: 5}, {Work: 6}},
	}
	for w := range all.Items() {
		s.received(&protocol.AppFrame{}) // grants nothing
		one := &protocol.HostFrame{}
		one.Add(w)
		s.send(one)
	}
	for k := range protocol.Kinds {
		if _, ok := s.fill(); ok {
			t.Errorf("%v: sent without credit", k)
		}
		credit := &protocol.AppFrame{}
		credit.Grant(k, 1)
		s.received(credit)
		if _, ok := s.fill(); !ok || f.Len() != 1 {
			t.Fatalf("%v: %v, want one item", k, f)
		}
		for w := range f.Items() {
			if w.Kind() != k {
				t.Errorf("credit for a %v let go a %v", k, w.Kind())
			}
		}
	}
	s.send(&protocol.HostFrame{Cancels: []uint64{4, 6}})
	if unsent, _ := s.fill(); !slices.Equal(unsent, []uint64{4, 6}) {
		t.Errorf("cancelled while they waited: %v, want 4 and 6", unsent)
	}
	answers := &protocol.AppFrame{
		Orchestrators: []*protocol.OrchestratorResult{{Work: 1}}, Activities: []*protocol.ActivityResult{{Work: 3}, {Work: 4}},
		Invocations: []*protocol.InvocationResult{{Work: 5}, {Work: 6}},
	}
	if unknown := s.received(answers); unknown != 2 || answers.Len() != 3 {
		t.Errorf("%d unknown answers and %v", unknown, answers)
	}
}

func TestStreamDrain(t *testing.T) {
	s := newStream(&silent{}, 0)
	f := &s.frame
	s.received(&protocol.AppFrame{OrchestratorCredit: 2})
	s.send(episodes(0, 3, 1))
	s.fill()
	s.startDrain()
	if s.send(episodes(5, 1, 1)) {
		t.Error("a draining stream takes work")
	}
	if !s.send(&protocol.HostFrame{Evict: []string{"x"}}) {
		t.Error("a draining stream refuses evictions")
	}
	unsent, ok := s.fill()
	if !ok || !f.Drain || !slices.Equal(unsent, []uint64{2}) || len(f.Evict) != 1 {
		t.Errorf("drain frame %v %+v, unsent %v", ok, f, unsent)
	}
	done := func() bool {
		select {
		case <-s.drained:
			return true
		default:
			return false
		}
	}
	s.received(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: 0}}})
	if unknown := s.received(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: 0}, {Work: 77}}}); unknown != 2 {
		t.Errorf("%d unknown answers, want 2: one twice, one never sent", unknown)
	}
	if done() {
		t.Error("drained with an item out")
	}
	s.received(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: 1}}})
	if !done() {
		t.Error("not drained with nothing out")
	}
}

// TestLoneItemIsWrittenByWhoAddsIt: only when the app has read everything before, so that
// the write cannot block; the sender writes the rest, never beside another.
func TestLoneItemIsWrittenByWhoAddsIt(t *testing.T) {
	s := newStream(&silent{}, 0)
	frames := make(chan int, 10)
	var inside atomic.Int32
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		s.sendAll(func(f *protocol.HostFrame) error {
			if inside.Add(1) != 1 {
				t.Error("two frames are written at a time")
			}
			defer inside.Add(-1)
			frames <- len(f.Orchestrators)
			return nil
		}, done)
	})
	<-frames // the first, which has no work
	s.received(&protocol.AppFrame{OrchestratorCredit: 3})
	s.send(episodes(1, 1, 10)) // the app may not have read the first frame
	if n := <-frames; n != 1 {
		t.Fatalf("%d items", n)
	}
	s.received(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: 1}}})
	s.mu.Lock()
	for s.writing {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	s.mu.Unlock()
	s.send(episodes(2, 1, 10))
	if len(frames) != 1 {
		t.Error("a lone item was left to the sender")
	}
	<-frames
	s.send(episodes(3, 1, 10)) // nothing shows that the app has read the one before
	<-frames
	s.received(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: 3}}})
	s.send(episodes(4, 1, 10)) // no credit
	if len(frames) != 0 {
		t.Error("an item was written without credit")
	}
	s.received(&protocol.AppFrame{OrchestratorCredit: 1})
	<-frames
	close(done)
	sender.Wait()
}
