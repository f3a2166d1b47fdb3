package taskhub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/routing"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Options say which hub to open and what it stands on.
type Options struct {
	// Name is the hub's name; Store is rooted at the hub's prefix in the bucket.
	Name  string
	Store storage.Store
	// Register keeps sessions and roots; nil: Store does. Leases says in words where that
	// is, the same for all hosts of the hub; "" with Store.
	Register lease.Register
	Leases   string
	// Partitions is how many a new hub gets. A hub keeps the number that it was
	// created with: Hub.Partitions says which.
	Partitions int
	// Prepare is called before a new hub is created; an error refuses it (the race
	// probe of the store).
	Prepare func() error
	// Opener makes the partitions' working states.
	Opener checkpoint.Opener
	Exec   work.Executor
	Sched  sched.Scheduler
	// Network reaches the other hosts of the hub, which then share its partitions. Without
	// one a host owns all partitions or waits for the one that does. The hub closes it.
	Network func(hub string, key []byte) (transport.Network, error)
	Log     hclog.Logger
	// Lease is how long other hosts wait for this one when it falls silent.
	Lease time.Duration
	// About describes this process in its session.
	About lease.Record
	// Dead proves that the holder of a session is gone (lease.ProvenDead).
	Dead func(lease.Record) bool
	// Settings are those of each partition; the zero value of all but MaxPayload is a default.
	Settings
	// HibernateAfter is how long the hub must have had nothing to do before it hibernates,
	// unless a timer is due in five times that; 0: a minute, negative: never.
	HibernateAfter time.Duration
}

// Settings are what a user of the hub may choose, the same for all its partitions.
type Settings = partition.Settings

// Hub is an open task hub: this process owns some of its partitions, and knows who owns
// the others.
type Hub struct {
	opts   Options
	id     string
	ranges layout.Ranges
	net    transport.Network // nil: this host is alone, or on standby

	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  sched.Signal
	router *routing.Router
	runner *runner
	late   atomic.Uint64

	mu       sync.Mutex
	desks    []*desk // those that are open, in the order in which they were opened
	leaving  bool    // takes no work of other hosts any more
	session  *lease.Session
	parts    []share
	members  []*member     // the other hosts, in the order in which they were met
	changed  time.Duration // Mono of when the set of members last changed
	news     sched.Signal  // wakes the steward
	moving   bool          // a partition is being given away
	asking   bool          // a partition is being asked for
	stopping bool
	sleep    hibernation
}

// PartitionState says what this host does with a partition.
type PartitionState = cluster.State

// The states that users of a hub ask for.
const (
	Serving = cluster.Serving
	Waiting = cluster.Waiting
	Parked  = cluster.Parked
	Asleep  = cluster.Dormant
)

// PartitionInfo is one row of Hub.Info.
type PartitionInfo struct {
	Partition int
	State     PartitionState
	Epoch     uint64
	Owner     string // session that owns it; empty: nobody, or not known
	Address   string // of the owner, if it is another host
	Detail    string // what it waits for, or the corrupt object
}

// ErrStopped is why everything ends when the hub is stopped.
var ErrStopped = ownership.ErrStopped

// Open reads or creates the hub and starts to own its partitions in the background.
// It returns when the hub can be spoken to; requests wait a little for their partition.
// A store that cannot be reached, a missing bucket, refused credentials or an unknown
// format are errors here.
func Open(ctx context.Context, opts Options) (*Hub, error) {
	h, err := open(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	opts.Sched.Go(func() { h.run(h.session) })
	opts.Sched.Go(h.sweepSessions)
	return h, nil
}

func open(ctx context.Context, opts Options) (*Hub, error) {
	m, created, err := layout.Open(ctx, opts.Sched, opts.Store, layout.Wanted{
		Name: opts.Name, Leases: opts.Leases, Partitions: opts.Partitions, Prepare: opts.Prepare,
	})
	if err != nil {
		return nil, err
	}
	h := &Hub{
		opts: opts, id: m.ID, ranges: m.Ranges(), ended: opts.Sched.NewSignal(), news: opts.Sched.NewSignal(),
		parts: make([]share, m.Ranges().Len()),
	}
	h.runner = newRunner(h)
	for n := range h.parts {
		h.parts[n] = share{state: cluster.Opening, changed: opts.Sched.NewSignal()}
	}
	if opts.Network != nil {
		if h.net, err = opts.Network(m.ID, m.PeerSecret()); err != nil {
			return nil, err
		}
		h.opts.About.Address = h.net.Address()
	}
	h.router = routing.New(routing.Config{Hub: m.ID, Partitions: len(h.parts), Owners: h, Network: h.net, Sched: opts.Sched})
	h.ctx, h.cancel = opts.Sched.WithCancel(context.Background())
	// Also for a Stop that comes before run does.
	if h.session, err = h.openSession(ctx); err != nil {
		h.closeNetwork()
		return nil, err
	}
	if h.net != nil {
		h.net.Serve(peers{h})
	}
	verb := "task hub opened"
	if created {
		verb = "task hub created"
	}
	opts.Log.Info(verb, "hub", opts.Name, "id", m.ID, "partitions", len(h.parts), "session", h.session.ID(), "address", h.opts.About.Address)
	return h, nil
}

func (h *Hub) closeNetwork() {
	if h.net != nil {
		h.net.Close()
	}
}

// Partitions is the number of partitions that the hub was created with.
func (h *Hub) Partitions() int { return len(h.parts) }

// Session is the id of the session under which this host takes part at the moment.
func (h *Hub) Session() string { return h.sessionID() }

// Address is where the other hosts of the hub reach this one; "" without a network.
func (h *Hub) Address() string { return h.opts.About.Address }

// Info says what this host does with each partition.
func (h *Hub) Info() []PartitionInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	info := make([]PartitionInfo, len(h.parts))
	for n, s := range h.parts {
		info[n] = PartitionInfo{Partition: n, State: s.state, Epoch: s.epoch, Owner: s.owner, Address: s.address, Detail: s.detail}
		if s.resting {
			info[n].Owner = ""
		}
		if s.part != nil {
			info[n].Epoch = s.part.Epoch()
		}
	}
	return info
}

func (h *Hub) register() lease.Register {
	if h.opts.Register != nil {
		return h.opts.Register
	}
	return h.opts.Store
}

func (h *Hub) openSession(ctx context.Context) (*lease.Session, error) {
	return lease.Open(ctx, h.leaseConfig(), h.opts.About)
}

func (h *Hub) leaseConfig() lease.Config {
	return lease.Config{Register: h.register(), Sched: h.opts.Sched, Prefix: layout.SessionPrefix, Lease: h.opts.Lease}
}

// endedSessionsKept is how long the object of a session that has ended stays, for people
// who want to know who was there.
const endedSessionsKept = 24 * time.Hour

// sweepSessions removes the objects of sessions that ended long ago. The session that a
// root still names counts as ended once its object is gone.
func (h *Hub) sweepSessions() {
	if h.opts.Register != nil {
		return // a table is not listed
	}
	if err := lease.Sweep(h.ctx, h.opts.Store, layout.SessionPrefix, endedSessionsKept); err != nil && h.ctx.Err() == nil {
		h.opts.Log.Warn("ended sessions are not swept", "hub", h.opts.Name, "error", err)
	}
}

// run owns partitions under one session after another: a host that was evicted while
// it was frozen drops everything and joins again.
func (h *Hub) run(session *lease.Session) {
	defer h.ended.Fire()
	asleep := false
	for {
		h.mu.Lock()
		h.session = session
		h.mu.Unlock()
		asleep = h.own(session, asleep)
		if asleep {
			h.slumber()
		}
		// A hub that stops closes its session, and must not join again for it.
		if h.ctx.Err() != nil || h.isStopping() {
			h.all(cluster.Stopped)
			return
		}
		if !asleep {
			h.opts.Log.Warn("session lost, joining again", "hub", h.opts.Name, "session", session.ID())
		}
		slept := session
		for {
			next, err := h.openSession(h.ctx)
			if err == nil {
				session = next
				break
			}
			if h.ctx.Err() != nil {
				return
			}
			_ = h.opts.Sched.Sleep(h.ctx, time.Second)
		}
		if asleep {
			h.opts.Sched.Go(func() { h.forgetSession(slept) })
		}
	}
}

func (h *Hub) partitionConfig(session *lease.Session, n int) partition.Config {
	return partition.Config{
		Bucket: h.bucket(n), Settings: h.opts.Settings, Partitions: len(h.parts), Place: h.ranges.Of, Session: session,
		Opener: h.opts.Opener, Exec: h.opts.Exec, Post: h.router, Late: &h.late, Log: h.opts.Log,
	}
}

// bucket is what is stored of partition n.
func (h *Hub) bucket(n int) partition.Bucket {
	return partition.Bucket{Hub: h.id, N: n, Prefix: layout.PartitionPrefix, Store: h.opts.Store, Register: h.register(), Sched: h.opts.Sched}
}

func (h *Hub) isStopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// Stop commits what is there, takes checkpoints, hands the partitions over to other hosts
// or releases them, and closes the session, so that whoever comes next starts without
// waiting and without replaying. When ctx ends first the partitions are abandoned: nothing
// is lost, but others wait for the lease. It may be called more than once.
func (h *Hub) Stop(ctx context.Context) error {
	h.mu.Lock()
	again := h.stopping
	h.stopping = true
	session, dozing := h.session, h.sleep.dozing
	h.mu.Unlock()
	if again {
		return h.ended.Wait(ctx)
	}
	if dozing != nil {
		h.wake()
		_ = dozing.Wait(ctx) // the partitions are being released already
	}
	err := h.handAllOver(ctx)
	if err == nil {
		err = session.Close(ctx)
	}
	h.cancel(ErrStopped)
	for _, p := range h.serving() {
		p.Abandon(ErrStopped)
	}
	h.wake()
	err = errors.Join(err, h.ended.Wait(ctx))
	h.runner.abandon()
	h.closeNetwork()
	h.mu.Lock()
	session = h.session
	h.mu.Unlock()
	// Again, for one that was not closed in good order: a session that is renewed as long
	// as the process lives would keep every other host waiting.
	return errors.Join(err, session.Close(ctx))
}
