package taskhub

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/placement"
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

// defaultHibernateAfter is how long nothing must have happened.
const defaultHibernateAfter = time.Minute

// Hub is an open task hub: this process owns some of its partitions, and knows who owns
// the others. It joins the rooms of the task hub: ownership, placement and routing.
type Hub struct {
	opts   Options
	id     string
	ranges layout.Ranges
	net    transport.Network // nil: this host is alone, or on standby

	owners *ownership.Manager
	places *placement.Placement
	router *routing.Router

	stopping atomic.Bool
}

// Open reads or creates the hub and starts to own its partitions in the background.
// It returns when the hub can be spoken to; requests wait a little for their partition.
// A store that cannot be reached, a missing bucket, refused credentials or an unknown
// format are errors here.
func Open(ctx context.Context, opts Options) (*Hub, error) {
	h, err := open(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	return h, nil
}

func open(ctx context.Context, opts Options) (*Hub, error) {
	m, created, err := layout.Open(ctx, opts.Sched, opts.Store, layout.Wanted{
		Name: opts.Name, Leases: opts.Leases, Partitions: opts.Partitions, Prepare: opts.Prepare,
	})
	if err != nil {
		return nil, err
	}
	opts.Log = opts.Log.With("hub", opts.Name)
	if opts.HibernateAfter == 0 {
		opts.HibernateAfter = defaultHibernateAfter
	}
	h := &Hub{opts: opts, id: m.ID, ranges: m.Ranges()}
	if opts.Network != nil {
		if h.net, err = opts.Network(m.ID, m.PeerSecret()); err != nil {
			return nil, err
		}
		h.opts.About.Address = h.net.Address()
	}
	h.join()
	if err := h.owners.Join(ctx); err != nil {
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
	h.opts.Log.Info(verb, "id", m.ID, "partitions", h.ranges.Len(), "session", h.Session(), "address", h.Address())
	h.owners.Start()
	return h, nil
}

// join makes the rooms and shows them each other.
func (h *Hub) join() {
	o := &h.opts
	h.owners = ownership.New(ownership.Config{
		Hub: h.id, Partitions: h.ranges.Len(), About: o.About, Dead: o.Dead, Sessions: h.sessions(),
		Lease: lease.Config{Register: h.register(), Sched: o.Sched, Prefix: layout.SessionPrefix, Lease: o.Lease},
		Sched: o.Sched, Network: h.net, HibernateAfter: o.HibernateAfter, Bucket: h.bucket, Open: h.openPartition,
		Offer:    func(m *transport.Heartbeat) { h.places.Offer(m) },
		Requests: func() (begun, ended uint64) { return h.router.Requests() },
		Log:      o.Log,
	})
	h.places = placement.New(placement.Config{
		Hub: h.id, Address: o.About.Address, Lease: o.Lease, Exec: o.Exec, Sched: o.Sched, Network: h.net, Hosts: h.owners, Log: o.Log,
	})
	h.router = routing.New(routing.Config{Hub: h.id, Partitions: h.ranges.Len(), Owners: h.owners, Network: h.net, Sched: o.Sched})
}

// openPartition is called by ownership, which serves what it returns.
func (h *Hub) openPartition(ctx context.Context, s *lease.Session, n int, ended string) (*partition.Partition, ownership.Executor, error) {
	as := h.places.Open(n)
	p, err := partition.Open(ctx, partition.Config{
		Bucket: h.bucket(n), Settings: h.opts.Settings, Partitions: h.ranges.Len(), Place: h.ranges.Of, Session: s,
		Opener: h.opts.Opener, Exec: as, Post: h.router, Late: h.places.Late(), Log: h.opts.Log,
	}, ended)
	if err != nil {
		as.Close()
		return nil, nil, err
	}
	as.Serving(p)
	// The right code may have been put back while nobody served the partition.
	p.Do(reconsider, func(error) {})
	return p, as, nil
}

// bucket is what is stored of partition n.
func (h *Hub) bucket(n int) partition.Bucket {
	return partition.Bucket{Hub: h.id, N: n, Prefix: layout.PartitionPrefix, Store: h.opts.Store, Register: h.register(), Sched: h.opts.Sched}
}

func (h *Hub) register() lease.Register {
	if h.opts.Register != nil {
		return h.opts.Register
	}
	return h.opts.Store
}

// sessions lists and deletes sessions; nil if they stand in a table, which can do neither.
func (h *Hub) sessions() storage.Store {
	if h.opts.Register != nil {
		return nil
	}
	return h.opts.Store
}

func (h *Hub) closeNetwork() {
	if h.net != nil {
		h.net.Close()
	}
}

// Reconsider is called when the executor's set of functions has changed: other hosts are
// told, and instances go on that were held because their code did not fit their history.
func (h *Hub) Reconsider() {
	h.owners.Wake()
	h.owners.Replan()
	h.places.Rebalance()
	for _, p := range h.owners.Served() {
		p.Do(reconsider, func(error) {})
	}
}

func reconsider(c *core.Core, now int64) { c.Reconsider(now) }

// Quiesce begins to stop the hub: from now on no work is handed out and no request taken.
// The executor can then give back what it has not begun, so that Stop need not wait for it.
func (h *Hub) Quiesce() { h.owners.Quiesce() }

// Stop commits what is there, takes checkpoints, hands the partitions over to other hosts
// or releases them, and closes the session, so that whoever comes next starts without
// waiting and without replaying. When ctx ends first the partitions are abandoned: nothing
// is lost, but others wait for the lease. It may be called more than once.
func (h *Hub) Stop(ctx context.Context) error {
	first := !h.stopping.Swap(true)
	err := h.owners.Stop(ctx)
	if first { // others wait for the end, or for their ctx
		h.places.Abandon()
		h.closeNetwork()
	}
	return err
}
