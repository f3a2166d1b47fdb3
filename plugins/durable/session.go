package durable

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// initialCredit is granted to the host at the beginning, for each kind: work items that may
// wait in this process. It protects memory; how much runs at a time is the host's business.
const initialCredit = 4096

const (
	keepActivityWorkers = 64               // idle goroutines kept
	episodeWarning      = 10 * time.Second // an orchestrator that runs longer blocks on something
	watchInterval       = 5 * time.Second
)

// Causes of cancelled contexts.
var (
	errUnwanted = errors.New("the host no longer wants the result")
	errHostGone = errors.New("the connection to the host is gone")
)

// session is one Work stream: it receives work, runs it on pools and sends what
// comes out. It ends with the stream, or when it is drained.
type session struct {
	r      *runner
	client *HostClient
	out    *sender
	// setHost takes the broker id of the host's services.
	setHost func(uint32)
	dialing sync.WaitGroup // the first connection to them

	pools [protocol.Kinds]*pool[protocol.Work]
	took  [protocol.Kinds][]protocol.Work // memory of take
	slots []episodeSlot                   // one for each episode worker

	ctx    context.Context // parent of the items' contexts
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	running map[uint64]context.CancelCauseFunc // by work id; nil: waits in the queue

	outstanding atomic.Int64 // items received and not yet answered
	draining    atomic.Bool
}

// episodeSlot shows the watchdog what a worker runs.
type episodeSlot struct {
	since    atomic.Int64 // Unix nanoseconds; 0: nothing
	work     atomic.Pointer[protocol.OrchestratorWork]
	reported int64 // the since that was reported; the watchdog's own
}

// newSession prepares a stream; dial connects to the host's services.
func newSession(r *runner, dial func(id uint32) (*grpc.ClientConn, error)) *session {
	workers := max(4, 2*runtime.GOMAXPROCS(0))
	s := &session{
		r: r, client: &HostClient{}, out: newSender(), slots: make([]episodeSlot, workers),
		running: make(map[uint64]context.CancelCauseFunc),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.pools = [protocol.Kinds]*pool[protocol.Work]{
		protocol.Orchestrator: newPool(workers, workers, s.runEpisode),
		protocol.Activity:     newPool(initialCredit, keepActivityWorkers, s.runActivity),
		protocol.Triggered:    newPool(initialCredit, keepActivityWorkers, s.runInvocation),
	}
	var hostID atomic.Uint32
	s.client.dial = func() (*grpc.ClientConn, error) {
		if id := hostID.Load(); id != 0 && dial != nil {
			return dial(id)
		}
		return nil, errors.New("it offers no services")
	}
	s.setHost = hostID.Store
	r.session.Store(s)
	return s
}

// serve runs the stream to its end: nil after a drain.
func (s *session) serve(stream protocol.FunctionApp_WorkServer) error {
	first := &protocol.AppFrame{}
	for k := range protocol.Kinds {
		first.Grant(k, initialCredit)
	}
	if err := stream.Send(first); err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- s.receive(stream) }() // ends with the stream, whose handler this is
	sent := make(chan error, 1)
	stop := make(chan struct{})
	go func() { sent <- s.out.run(stop, stream.Send, s.answered) }()
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	var err error
	for running := true; running; {
		select {
		case err = <-received:
			close(stop)
			err = errors.Join(err, <-sent)
			running = false
		case err = <-sent:
			running = false
		case now := <-watch.C:
			s.watch(now)
		}
	}
	s.cancel(errHostGone)
	s.closePools()
	s.dialing.Wait()
	s.client.close()
	return err
}

// receive takes frames until the stream ends.
func (s *session) receive(stream protocol.FunctionApp_WorkServer) error {
	for {
		f, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF // a host says drain first
		}
		if err != nil {
			return err
		}
		s.take(f)
	}
}

// take hands a frame's content out.
func (s *session) take(f *protocol.HostFrame) {
	if f.HostServices != 0 {
		s.setHost(f.HostServices)
		// At once: go-plugin forgets after 5 s where a service is that nobody has dialled,
		// and whoever needs it later could never reach it.
		s.dialing.Go(func() { _, _ = s.client.connect() }) // who needs it dials again, and hears why not
	}
	for _, id := range f.Evict {
		s.r.parked.evict(id)
	}
	s.outstanding.Add(int64(f.Len()))
	s.queue(f)
	for _, id := range f.Cancels {
		s.cancelItem(id)
	}
	if f.Drain {
		s.draining.Store(true)
		s.answered(0)
	}
}

// queue hands a frame's work to the pools.
func (s *session) queue(f *protocol.HostFrame) {
	for w := range f.Items() {
		s.took[w.Kind()] = append(s.took[w.Kind()], w)
	}
	for k, items := range s.took {
		if len(items) == 0 {
			continue
		}
		if protocol.Kind(k).Cancellable() {
			s.mu.Lock()
			for _, w := range items {
				s.running[w.GetWork()] = nil
			}
			s.mu.Unlock()
		}
		s.pools[k].add(items...)
		clear(items)
		s.took[k] = items[:0]
	}
}

func (s *session) closePools() {
	for _, p := range s.pools {
		p.close()
	}
}

// answered hears that items were sent; the last one ends a drain.
func (s *session) answered(items int) {
	if s.outstanding.Add(-int64(items)) == 0 && s.draining.Load() {
		s.out.finish()
	}
}

func (s *session) runEpisode(worker int, item protocol.Work) {
	w := item.(*protocol.OrchestratorWork)
	slot := &s.slots[worker]
	slot.work.Store(w)
	slot.since.Store(time.Now().UnixNano())
	res := episodeResults.Get().(*protocol.OrchestratorResult)
	defer func() {
		slot.since.Store(0)
		slot.work.Store(nil)
		s.out.answer(res, s.outstanding.Load() == 1)
	}()
	s.r.episode(w, res)
}

func (s *session) runActivity(_ int, item protocol.Work) {
	w := item.(*protocol.ActivityWork)
	ctx, cancel := s.begin(w)
	res := activityResults.Get().(*protocol.ActivityResult)
	defer func() { s.end(cancel, res) }()
	s.r.activity(ctx, s.client, w, res)
}

// begin makes the context of an item that can be cancelled; its result ends it.
func (s *session) begin(w protocol.Work) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	s.mu.Lock()
	if early := s.running[w.GetWork()]; early != nil { // cancelled while it waited
		cancel(errUnwanted)
	}
	s.running[w.GetWork()] = cancel
	s.mu.Unlock()
	return ctx, cancel
}

func (s *session) end(cancel context.CancelCauseFunc, res protocol.Result) {
	s.mu.Lock()
	delete(s.running, res.GetWork())
	s.mu.Unlock()
	cancel(nil)
	s.out.answer(res, s.outstanding.Load() == 1)
}

// cancelItem cancels an item that runs or waits; others are through.
func (s *session) cancelItem(id uint64) {
	s.mu.Lock()
	cancel, ok := s.running[id]
	if ok && cancel == nil {
		s.running[id] = func(error) {} // a mark: cancel it when it begins
	}
	s.mu.Unlock()
	if cancel != nil {
		cancel(errUnwanted)
	}
}

// watch reports, once each, episodes that run for too long.
func (s *session) watch(now time.Time) {
	for i := range s.slots {
		slot := &s.slots[i]
		since := slot.since.Load()
		w := slot.work.Load()
		if since == 0 || w == nil || since == slot.reported || now.Sub(time.Unix(0, since)) < episodeWarning {
			continue
		}
		slot.reported = since
		s.r.log.Warn("orchestrator runs for long without an await: does it block on something that is no task?",
			"orchestrator", w.Name, "instance", w.InstanceId, "elapsed", now.Sub(time.Unix(0, since)).Round(time.Second))
	}
}
