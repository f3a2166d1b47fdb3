package durable

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
)

func TestFramesAreBounded(t *testing.T) {
	s := newSender()
	big := strings.Repeat("x", maxFrameBytes*2/3)
	huge := strings.Repeat("x", maxFrameBytes*2)
	for range maxFrameItems + 6 {
		s.answer(&protocol.OrchestratorResult{Work: 1}, false)
	}
	for _, v := range []string{big, big, huge, "small"} {
		s.answer(&protocol.ActivityResult{Work: 2, Result: wrapperspb.String(v)}, false)
	}
	s.finish()
	var frames []int
	items := 0
	err := s.run(nil, func(f *protocol.AppFrame) error {
		n := f.Len()
		frames = append(frames, n)
		if n > 1 && f.SizeVT() > maxFrameBytes+1024 || n > maxFrameItems {
			t.Errorf("a frame of %d items has %d bytes", n, f.SizeVT())
		}
		if f.OrchestratorCredit != uint32(len(f.Orchestrators)) || f.ActivityCredit != uint32(len(f.Activities)) {
			t.Errorf("credit of a frame: %d and %d", f.OrchestratorCredit, f.ActivityCredit)
		}
		return nil
	}, func(n int) { items += n })
	if err != nil || items != maxFrameItems+10 || len(frames) != 5 {
		t.Errorf("%v, %d items in frames of %v", err, items, frames)
	}
}

func TestSenderEndsWithItsStream(t *testing.T) {
	s := newSender()
	s.answer(&protocol.ActivityResult{}, false)
	broken := errors.New("broken")
	if err := s.run(nil, func(*protocol.AppFrame) error { return broken }, func(int) {}); !errors.Is(err, broken) {
		t.Error(err)
	}
	stop := make(chan struct{})
	close(stop)
	if err := s.run(stop, func(*protocol.AppFrame) error { return nil }, func(int) {}); err != nil {
		t.Error(err)
	}
}

// TestLastAnswerIsSentFromWhereItIs: the last one that is out wakes nobody, all others
// leave it to run; whatever comes while somebody sends is sent too.
func TestLastAnswerIsSentFromWhereItIs(t *testing.T) {
	s := newSender()
	var inside, frames atomic.Int32
	entered, goOn := make(chan struct{}, 1), make(chan struct{})
	sent := make(chan int, 10)
	ended := make(chan error, 1)
	send := func(*protocol.AppFrame) error {
		if inside.Add(1) != 1 {
			t.Error("two frames are sent at a time")
		}
		defer inside.Add(-1)
		if frames.Add(1) == 2 {
			entered <- struct{}{}
			<-goOn
		}
		return nil
	}
	go func() { ended <- s.run(nil, send, func(n int) { sent <- n }) }()
	s.answer(&protocol.ActivityResult{Work: 1}, false)
	if n := <-sent; n != 1 {
		t.Fatalf("%d items in the first frame", n)
	}
	s.mu.Lock()
	for s.sending { // run is about to wait
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	s.mu.Unlock()
	go s.answer(&protocol.ActivityResult{Work: 2}, true)
	<-entered
	s.answer(&protocol.OrchestratorResult{Work: 3}, true)
	s.finish()
	select {
	case err := <-ended:
		t.Fatalf("run ended while a frame was being sent: %v", err)
	default:
	}
	close(goOn)
	if err := <-ended; err != nil || frames.Load() != 3 {
		t.Errorf("%d frames, %v", frames.Load(), err)
	}
	s.answer(&protocol.ActivityResult{Work: 4}, true)
	if frames.Load() != 3 {
		t.Error("a frame was sent after run had returned")
	}
}

// A blocked item holds up no other, and an item that ends its goroutine loses none.
func TestPool(t *testing.T) {
	var wg sync.WaitGroup
	block := make(chan struct{})
	p := newPool(3, 1, func(worker, item int) {
		defer wg.Done()
		if worker < 0 || worker > 2 {
			t.Errorf("worker %d", worker)
		}
		switch {
		case item < 2:
			<-block
		case item%7 == 0:
			runtime.Goexit()
		}
	})
	wg.Add(100)
	for i := range 10 {
		items := make([]int, 10)
		for j := range items {
			items[j] = 10*i + j
		}
		p.add(items...)
	}
	p.add() // nothing: no harm
	for {
		p.mu.Lock()
		left := p.queue.Len()
		p.mu.Unlock()
		if left == 0 {
			break
		}
		runtime.Gosched()
	}
	close(block)
	wg.Wait()
	p.close()
	p.ended.Wait()
	if p.workers != 0 || p.idle != 0 || p.next > 3 {
		t.Errorf("%d workers, %d idle, %d numbers used", p.workers, p.idle, p.next)
	}
}
