package taskhub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
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
	Log    hclog.Logger
	// Lease is how long other hosts wait for this one when it falls silent.
	Lease time.Duration
	// About describes this process in its session.
	About lease.Record
	// Dead proves that the holder of a session is gone (lease.ProvenDead).
	Dead func(lease.Record) bool
	// MaxPayload is the largest payload in bytes.
	MaxPayload int
	// FailNonDeterminism and ReplaceRunning: see partition.Config.
	FailNonDeterminism, ReplaceRunning bool
	// MaxCached bounds the decoded instances per partition; 0: a default.
	MaxCached int
	// CheckpointRecords: see partition.Config.
	CheckpointRecords int
}

// Hub is an open task hub: this process owns partitions, or waits for them.
type Hub struct {
	opts  Options
	id    string
	place placement

	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  sched.Signal

	mu       sync.Mutex
	session  *lease.Session
	parts    []owned
	stopping bool
}

// owned is one partition as this host sees it.
type owned struct {
	part    *partition.Partition // nil: not served here
	state   PartitionState
	detail  string
	changed sched.Signal // fires when part or state changes
}

// PartitionState says what this host does with a partition.
type PartitionState string

// The states.
const (
	Opening PartitionState = "opening" // claiming and recovering it
	Waiting PartitionState = "waiting" // another host owns it
	Serving PartitionState = "serving"
	Parked  PartitionState = "parked" // an object of it is corrupt; it needs a person
	Stopped PartitionState = "stopped"
)

// PartitionInfo is one row of Hub.Info.
type PartitionInfo struct {
	Partition int
	State     PartitionState
	Epoch     uint64
	Detail    string // the owner that is waited for, or the corrupt object
}

// ErrStopped is why everything ends when the hub is stopped.
var ErrStopped = errors.New("task hub is stopped")

// Open reads or creates the hub and starts to own its partitions in the background.
// It returns when the hub can be spoken to; requests wait a little for their partition.
// A store that cannot be reached, a missing bucket, refused credentials or an unknown
// format are errors here.
func Open(ctx context.Context, opts Options) (*Hub, error) {
	m, created, err := openManifest(ctx, opts.Sched, opts.Store, opts.Name, opts.Leases, opts.Partitions, opts.Prepare)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	place, err := m.placement()
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	h := &Hub{opts: opts, id: m.ID, place: place, ended: opts.Sched.NewSignal(), parts: make([]owned, len(place.starts))}
	for n := range h.parts {
		h.parts[n] = owned{state: Opening, changed: opts.Sched.NewSignal()}
	}
	h.ctx, h.cancel = opts.Sched.WithCancel(context.Background())
	session, err := h.openSession(ctx)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	verb := "task hub opened"
	if created {
		verb = "task hub created"
	}
	opts.Log.Info(verb, "hub", opts.Name, "id", m.ID, "partitions", len(h.parts), "session", session.ID())
	h.session = session // also for a Stop that comes before run does
	opts.Sched.Go(func() { h.run(session) })
	opts.Sched.Go(h.sweepSessions)
	return h, nil
}

// Partitions is the number of partitions that the hub was created with.
func (h *Hub) Partitions() int { return len(h.parts) }

// Info says what this host does with each partition.
func (h *Hub) Info() []PartitionInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	info := make([]PartitionInfo, len(h.parts))
	for n, o := range h.parts {
		info[n] = PartitionInfo{Partition: n, State: o.state, Detail: o.detail}
		if o.part != nil {
			info[n].Epoch = o.part.Epoch()
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
	return lease.Open(ctx, lease.Config{
		Register: h.register(), Sched: h.opts.Sched, Prefix: sessionPrefix, Lease: h.opts.Lease,
	}, h.opts.About)
}

const sessionPrefix = "session/"

// endedSessionsKept is how long the object of a session that has ended stays, for people
// who want to know who was there.
const endedSessionsKept = 24 * time.Hour

// sweepSessions removes the objects of sessions that ended long ago. The session that a
// root still names counts as ended once its object is gone.
func (h *Hub) sweepSessions() {
	if h.opts.Register != nil {
		return // a table is not listed
	}
	if err := lease.Sweep(h.ctx, h.opts.Store, sessionPrefix, endedSessionsKept); err != nil && h.ctx.Err() == nil {
		h.opts.Log.Warn("ended sessions are not swept", "hub", h.opts.Name, "error", err)
	}
}

// run owns partitions under one session after another: a host that was evicted while
// it was frozen drops everything and joins again.
func (h *Hub) run(session *lease.Session) {
	defer h.ended.Fire()
	for {
		h.mu.Lock()
		h.session = session
		h.mu.Unlock()
		h.own(session)
		// A hub that stops closes its session, and must not join again for it.
		if h.ctx.Err() != nil || h.isStopping() {
			return
		}
		h.opts.Log.Warn("session lost, joining again", "hub", h.opts.Name, "session", session.ID())
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
	}
}

// own serves partitions until the session is lost or the hub stops, and returns when
// all of them are closed. Partition 0 comes first: whoever owns it goes on to the
// others, so that two hosts that start together do not share a hub by halves.
func (h *Hub) own(session *lease.Session) {
	ctx, cancel := h.opts.Sched.WithCancel(h.ctx)
	for n := range h.parts {
		h.set(n, owned{state: Opening})
	}
	h.opts.Sched.Go(func() {
		if session.Lost().Wait(ctx) == nil {
			cancel(lease.ErrLost)
		}
	})
	first := h.opts.Sched.NewSignal()
	ended := make([]sched.Signal, len(h.parts))
	for n := range h.parts {
		ended[n] = h.opts.Sched.NewSignal()
		h.opts.Sched.Go(func() {
			defer ended[n].Fire()
			if n > 0 && first.Wait(ctx) != nil {
				return
			}
			h.serve(ctx, session, n, first)
		})
	}
	for _, e := range ended {
		_ = e.Wait(context.Background()) // each ends with ctx, or when it is parked
	}
	// If they ended because all are parked, the session goes on: the next one would wait
	// for this one for ever, and nobody would see what is wrong with the partitions.
	_ = session.Lost().Wait(ctx)
	cancel(lease.ErrLost)
}

// serve opens one partition again and again, as long as it may.
func (h *Hub) serve(ctx context.Context, session *lease.Session, n int, first sched.Signal) {
	cfg := h.partitionConfig(session, n)
	observer := lease.Observer{
		Config: lease.Config{Register: h.register(), Sched: h.opts.Sched, Prefix: sessionPrefix, Lease: h.opts.Lease},
		Dead:   h.opts.Dead,
	}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		part, err := h.openPartition(ctx, &cfg, &observer)
		if err == nil {
			attempt = 0
			first.Fire()
			if !h.set(n, owned{part: part, state: Serving}) {
				part.Abandon(ErrStopped) // Stop did not see it among those to be stopped
			}
			// The right code may have been put back while nobody served the partition.
			part.Do(reconsider, func(error) {})
			h.resendTo(n)
			_ = part.Done().Wait(context.Background()) // a partition ends with its session or with the hub
			err = part.Err()
		}
		var corrupt *partition.CorruptError
		switch {
		case h.isStopping() || ctx.Err() != nil:
			h.set(n, owned{state: Stopped})
			return
		case errors.As(err, &corrupt) || errors.Is(err, checkpoint.ErrDamaged):
			h.set(n, owned{state: Parked, detail: err.Error()})
			first.Fire() // the others can do without it
			h.opts.Log.Error("partition is parked: an object is corrupt, its bytes are kept", "hub", h.opts.Name, "partition", n, "error", err)
			return
		case err != nil:
			h.set(n, owned{state: Opening, detail: err.Error()})
			h.opts.Log.Warn("partition is not served", "hub", h.opts.Name, "partition", n, "error", err)
			_ = h.opts.Sched.Sleep(ctx, min(100*time.Millisecond<<min(attempt, 5), 3*time.Second))
		}
	}
	h.set(n, owned{state: Stopped})
}

// openPartition waits until the present owner's session has ended, and opens.
func (h *Hub) openPartition(ctx context.Context, cfg *partition.Config, observer *lease.Observer) (*partition.Partition, error) {
	free := ""
	root, _, err := cfg.ReadRoot(ctx)
	if err != nil {
		return nil, err
	}
	if root != nil && root.Owner != "" && root.Owner != cfg.Session.ID() {
		h.set(cfg.Partition, owned{state: Waiting, detail: "owned by session " + root.Owner})
		h.opts.Log.Info("waiting for the owner", "hub", h.opts.Name, "partition", cfg.Partition, "owner", root.Owner)
		gone, err := observer.Gone(ctx, root.Owner)
		if err != nil {
			return nil, err
		}
		h.opts.Log.Info("owner is gone", "hub", h.opts.Name, "partition", cfg.Partition, "owner", root.Owner, "state", gone.State)
		free = root.Owner
		h.set(cfg.Partition, owned{state: Opening})
	}
	return partition.Open(ctx, *cfg, free)
}

func (h *Hub) partitionConfig(session *lease.Session, n int) partition.Config {
	return partition.Config{
		Hub: h.id, Partition: n, Partitions: len(h.parts), Place: h.place.of,
		Prefix: partitionPrefix(n), PrefixOf: partitionPrefix,
		Store: h.opts.Store, Register: h.register(), Sched: h.opts.Sched, Session: session,
		Opener: h.opts.Opener, Exec: h.opts.Exec, Post: h, Log: h.opts.Log,
		MaxPayload: h.opts.MaxPayload, FailNonDeterminism: h.opts.FailNonDeterminism,
		ReplaceRunning: h.opts.ReplaceRunning, MaxCached: h.opts.MaxCached, CheckpointRecords: h.opts.CheckpointRecords,
	}
}

func partitionPrefix(n int) string { return fmt.Sprintf("p/%02d/", n) }

// set records what this host does with partition n, and says whether the hub goes on.
func (h *Hub) set(n int, o owned) bool {
	o.changed = h.opts.Sched.NewSignal()
	h.mu.Lock()
	before := h.parts[n].changed
	h.parts[n] = o
	stopping := h.stopping
	h.mu.Unlock()
	before.Fire()
	return !stopping
}

func (h *Hub) isStopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// Reconsider lets instances go on that were held because their code did not fit their
// history: the set of functions has changed.
func (h *Hub) Reconsider() {
	for _, p := range h.serving() {
		p.Do(reconsider, func(error) {})
	}
}

func (h *Hub) serving() []*partition.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []*partition.Partition
	for _, o := range h.parts {
		if o.part != nil {
			parts = append(parts, o.part)
		}
	}
	return parts
}

// Quiesce begins to stop the hub: from now on no work is handed out and no request taken.
// The executor can then give back what it has not begun, so that Stop need not wait for it.
func (h *Hub) Quiesce() {
	for _, p := range h.serving() {
		p.Quiesce()
	}
}

// Stop commits what is there, takes checkpoints, releases the partitions and closes the
// session, so that the next host starts without waiting and without replaying. When
// ctx ends first the partitions are abandoned: nothing is lost, but others wait for
// the lease. It may be called more than once.
func (h *Hub) Stop(ctx context.Context) error {
	h.mu.Lock()
	again := h.stopping
	h.stopping = true
	session := h.session
	h.mu.Unlock()
	if again {
		return h.ended.Wait(ctx)
	}
	parts := h.serving()
	errs := make([]error, len(parts))
	stopped := make([]sched.Signal, len(parts))
	for n, p := range parts {
		stopped[n] = h.opts.Sched.NewSignal()
		h.opts.Sched.Go(func() {
			errs[n] = p.Stop(ctx)
			stopped[n].Fire()
		})
	}
	var err error
	for _, s := range stopped {
		if err = s.Wait(ctx); err != nil {
			break // those that are still at it are abandoned below
		}
	}
	if err == nil {
		err = errors.Join(errs...)
	}
	if session != nil && err == nil {
		err = session.Close(ctx)
	}
	h.cancel(ErrStopped)
	for _, p := range parts {
		p.Abandon(ErrStopped)
	}
	err = errors.Join(err, h.ended.Wait(ctx))
	h.mu.Lock()
	session = h.session
	h.mu.Unlock()
	if session != nil {
		// Again, for one that was not closed in good order: a session that is renewed
		// as long as the process lives would keep every other host waiting.
		err = errors.Join(err, session.Close(ctx))
	}
	return err
}
