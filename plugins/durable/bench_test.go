package durable

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// threeGreetings is the benchmark's orchestration.
func threeGreetings() *App {
	app := NewApp("bench")
	Orchestrator(app, "O", func(ctx *OrchestrationContext, _ struct{}) ([]string, error) {
		out := make([]string, 0, 3)
		for _, city := range []string{"Tokyo", "Seattle", "London"} {
			s, err := CallActivity[string](ctx, "Greet", city).Await()
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	})
	Activity(app, "Greet", func(_ context.Context, city string) (string, error) { return "Hello, " + city + "!", nil })
	return app
}

// BenchmarkResume is one episode of a parked orchestrator: decode the new event,
// resume, ask for the next activity, park.
func BenchmarkResume(b *testing.B) {
	app := orchestration(func(ctx *OrchestrationContext, _ struct{}) (int, error) {
		for {
			if _, err := CallActivity[string](ctx, "Greet", "Tokyo").Await(); err != nil {
				return 0, err
			}
		}
	})
	r := newRunner(app, hclog.NewNullLogger(), 10)
	defer r.close()
	position := begin(b, r, "x")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		res := &protocol.OrchestratorResult{}
		r.episode(&protocol.OrchestratorWork{InstanceId: "x", ExecutionId: "x", Position: position,
			NewEvents: encodeEvents(b, []*history.HistoryEvent{done(int32(i), `"Hello, Tokyo!"`)})}, res)
		if len(res.Actions) != 1 {
			b.Fatal(res)
		}
		position = positionAfter(position, 1, res.Actions)
	}
}

// BenchmarkHandOver is a switch to an orchestrator's goroutine and back.
func BenchmarkHandOver(b *testing.B) {
	c := newCoro()
	c.job = func() {
		for c.yield(struct{}{}) {
		}
	}
	for b.Loop() {
		c.resume()
	}
	c.stop()
}

// BenchmarkHello runs whole instances of three activities through the pools and
// the sender, without the pipe: 4 episodes and 3 activities each, in frames.
func BenchmarkHello(b *testing.B) {
	const frame = 16
	s := newSession(newRunner(threeGreetings(), hclog.NewNullLogger(), DefaultMaxParked), nil)
	host := &testHost{t: b, name: "O", now: epoch}
	start := encodeEvents(b, []*history.HistoryEvent{host.started("")})
	var results [3][]byte
	for i := range results {
		results[i] = encodeEvents(b, []*history.HistoryEvent{done(int32(i), `"Hello, Tokyo!"`)})
	}
	left, begun := atomic.Int64{}, 0
	left.Store(int64(b.N))
	type state struct {
		id       string
		position uint64
	}
	states := make([]state, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	begin := func(f *protocol.HostFrame) {
		if begun < b.N {
			id := fmt.Sprintf("i%d", begun)
			states[begun].id = id
			f.Orchestrators = append(f.Orchestrators, &protocol.OrchestratorWork{Work: uint64(begun), InstanceId: id, ExecutionId: id, Name: "O", NewEvents: start})
			begun++
		}
	}
	first := &protocol.HostFrame{}
	for range 4 * frame {
		begin(first)
	}
	s.take(first)
	err := s.out.run(nil, func(f *protocol.AppFrame) error {
		next := &protocol.HostFrame{}
		for _, r := range f.Orchestrators {
			st := &states[r.Work]
			if len(r.Actions) != 1 {
				return fmt.Errorf("%s: %v", st.id, r)
			}
			st.position = positionAfter(st.position, 1, r.Actions)
			a := r.Actions[0]
			if a.GetCompleteOrchestration() != nil {
				begin(next)
				if left.Add(-1) == 0 {
					s.out.finish()
				}
				continue
			}
			next.Activities = append(next.Activities, &protocol.ActivityWork{Work: r.Work, Name: "Greet", InstanceId: st.id, ExecutionId: st.id,
				TaskId: a.Id, Input: a.GetScheduleTask().Input})
		}
		for _, r := range f.Activities {
			st := &states[r.Work]
			next.Orchestrators = append(next.Orchestrators, &protocol.OrchestratorWork{Work: r.Work, InstanceId: st.id, ExecutionId: st.id,
				Position: st.position, NewEvents: results[(st.position-2)/3]})
		}
		s.take(next)
		return nil
	}, s.answered)
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "instances/s")
	s.closePools()
	s.r.close()
}

// BenchmarkHandOverByChannels is what decision 0020 compares with.
func BenchmarkHandOverByChannels(b *testing.B) {
	resume, parked := make(chan struct{}), make(chan struct{})
	go func() {
		for range resume {
			parked <- struct{}{}
		}
	}()
	for b.Loop() {
		resume <- struct{}{}
		<-parked
	}
	close(resume)
}
