package ownership

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// ErrStopped is why everything ends when the hub is stopped.
var ErrStopped = errors.New("task hub is stopped")

// Executor runs the work of one opening of a partition.
type Executor interface {
	// Moving tells it that the partition is about to be stopped: results that it may not take
	// any more are kept for the next owner.
	Moving()
	// Close ends it; it returns when nothing of it runs any more.
	Close()
}

// Config is what a Manager needs.
type Config struct {
	Hub        string // id
	Partitions int
	// Lease says how sessions are held; About describes this process in its session. Dead
	// proves that the holder of a session is gone (lease.ProvenDead).
	Lease lease.Config
	About lease.Record
	Dead  func(lease.Record) bool
	// Sessions lists sessions, and deletes those that have ended; nil when the register
	// can do neither.
	Sessions storage.Store
	Sched    sched.Scheduler
	Network  transport.Network // nil: this host is alone, or on standby
	// HibernateAfter is how long the hub must have had nothing to do; not positive: never.
	HibernateAfter time.Duration
	// Bucket is what is stored of partition n.
	Bucket func(n int) partition.Bucket
	// Open opens partition n under a session. ended is a session that is known to have ended.
	Open func(ctx context.Context, s *lease.Session, n int, ended string) (*partition.Partition, Executor, error)
	// Offer puts into a heartbeat what this host can run.
	Offer func(*transport.Heartbeat)
	// Requests counts the requests that this host has begun and ended.
	Requests func() (begun, ended uint64)
	Log      hclog.Logger
}

// slot is the place of a partition that this host may serve.
type slot struct {
	part *partition.Partition // nil: this host does not serve it
	exec Executor
}

// Manager carries out what its View plans: it holds the host's session, and claims, serves and
// gives up partitions. Its methods may be called concurrently.
type Manager struct {
	cfg    Config
	ctx    context.Context // of the Manager's life
	cancel context.CancelCauseFunc
	ended  sched.Signal
	owners []atomic.Pointer[Owner]
	// leaving: no work and no requests of others are taken any more.
	leaving, stopping atomic.Bool

	mu       sync.Mutex
	view     *cluster.View
	slots    []slot
	session  *lease.Session
	replan   sched.Signal
	moving   bool          // a partition is being handed over
	asking   bool          // a host is being asked for a partition
	askAgain time.Duration // Mono; before it a partition is asked for in vain
	// released is not nil from when partitions are released to hibernate until the hub wakes;
	// it fires when they are. wanted: meanwhile somebody wants something.
	released sched.Signal
	wanted   bool
}

// New makes a Manager that takes part in nothing yet.
func New(cfg Config) *Manager {
	m := &Manager{
		cfg: cfg, ended: cfg.Sched.NewSignal(), replan: cfg.Sched.NewSignal(),
		owners: make([]atomic.Pointer[Owner], cfg.Partitions), slots: make([]slot, cfg.Partitions),
	}
	m.view = cluster.New(cluster.Config{
		Partitions: cfg.Partitions, Lease: cfg.Lease.Lease, HibernateAfter: cfg.HibernateAfter, Alone: cfg.Network == nil,
	})
	m.ctx, m.cancel = cfg.Sched.WithCancel(context.Background())
	for n := range m.owners {
		m.owners[n].Store(&Owner{Partition: m.view.Partition(n), Changed: cfg.Sched.NewSignal()})
	}
	return m
}

// Join opens the first session. It must have succeeded before anything else is called.
func (m *Manager) Join(ctx context.Context) error {
	s, err := m.openSession(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.join(s, 0)
	return nil
}

// Start begins to own partitions, in the background.
func (m *Manager) Start() {
	m.cfg.Sched.Go(m.run)
	m.cfg.Sched.Go(m.sweepSessions)
}

// run owns partitions under one session after another: a host that was evicted while it was
// frozen drops everything and joins again.
func (m *Manager) run() {
	defer m.ended.Fire()
	defer m.change(func(v *cluster.View) { v.Close(cluster.Stopped) })
	dormant := false
	for {
		session := m.currentSession()
		dormant = m.serveSession(session, dormant)
		if dormant {
			m.awaitWake()
		}
		// A hub that stops closes its session, and must not join again for it.
		if m.ctx.Err() != nil || m.Stopping() {
			return
		}
		if !dormant {
			m.cfg.Log.Warn("session lost, joining again", "session", session.ID())
		}
		if !m.joinAgain(dormant) {
			return
		}
		if dormant {
			m.cfg.Sched.Go(func() { m.forgetSession(session) })
		}
	}
}

// change changes the View and publishes what is believed then.
func (m *Manager) change(f func(v *cluster.View)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.view)
	m.publish()
}

// publish makes what is believed visible to Owner. Called with the lock held, after each
// change of the View or of a slot.
func (m *Manager) publish() {
	for _, n := range m.view.Drain() {
		next := &Owner{
			Partition: m.view.Partition(n), Local: m.slots[n].part, Mine: m.view.Mine(n), Changed: m.cfg.Sched.NewSignal(),
		}
		m.owners[n].Swap(next).Changed.Fire()
	}
}

// apply does what follows from what was learned. Called without the lock.
func (m *Manager) apply(c cluster.Changes) {
	if c.Replan {
		m.Replan()
	}
	if c.Wake {
		m.Wake()
	}
	for _, n := range c.Moved {
		m.resendTo(n)
	}
}

// Owner is who owns partition n.
func (m *Manager) Owner(n int) Owner { return *m.owners[n].Load() }

// Recheck lets the bucket be asked whose partition n is.
func (m *Manager) Recheck(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.Recheck(n)
	m.replan.Fire()
}

// Replan lets the plan be made again at once.
func (m *Manager) Replan() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replan.Fire()
}

// Wake ends the hub's hibernation, if it hibernates or is about to.
func (m *Manager) Wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.released != nil && !m.wanted {
		m.wanted = true
		m.replan.Fire()
	}
}

// Leaving reports whether this host takes no work of others any more.
func (m *Manager) Leaving() bool { return m.leaving.Load() || m.stopping.Load() }

// Stopping reports whether this host leaves the hub.
func (m *Manager) Stopping() bool { return m.stopping.Load() }

// Dormant reports whether the hub hibernates as far as this host knows. It wakes by itself.
func (m *Manager) Dormant() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.IsDormant()
}

// Hosts lists the other hosts of the hub, in the order in which they were met.
func (m *Manager) Hosts() []cluster.Host {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.Hosts(m.cfg.Sched.Mono())
}

// Served lists the partitions that are open on this host.
func (m *Manager) Served() (parts []*partition.Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		if s.part != nil {
			parts = append(parts, s.part)
		}
	}
	return parts
}

// resendTo asks every partition to send to n again what n's former owner did not
// acknowledge.
func (m *Manager) resendTo(n int) {
	for _, p := range m.Served() {
		p.Resend(n)
	}
}
