package placement

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// errClosed is why what runs beside an Assigner ends.
var errClosed = errors.New("the partition is not served here any more")

// Hosts knows the other hosts of the hub. *ownership.Manager is one. Its methods may be
// called concurrently, under locks of this package.
type Hosts interface {
	// Hosts lists the others, in the order in which they were met.
	Hosts() []cluster.Host
	// Leaving reports whether this host takes no work of others any more.
	Leaving() bool
}

// Config is what a Placement needs.
type Config struct {
	Hub     string // id
	Address string // of this host; "" without a network
	// Lease is for how long a host must have said nothing before its work is taken back.
	Lease   time.Duration
	Exec    work.Executor
	Sched   sched.Scheduler
	Network transport.Network // nil: there are no other hosts
	Hosts   Hosts
	Log     hclog.Logger
}

// Placement places the work items of the partitions that this host serves, and runs those
// of others. Its methods may be called concurrently.
type Placement struct {
	cfg    Config
	local  work.Local // the executor, if it tells what it can run
	worker *worker
	late   atomic.Uint64

	mu    sync.Mutex
	open  []*Assigner      // in the order in which they were opened
	peers map[string]*peer // what is known of other hosts, by address
}

// New makes a Placement.
func New(cfg Config) *Placement {
	p := &Placement{cfg: cfg, peers: map[string]*peer{}}
	p.local, _ = cfg.Exec.(work.Local)
	p.worker = newWorker(p)
	return p
}

// Late counts the answers of work items for which nobody waited any more: the item had been
// cancelled or given to somebody else, its partition had moved, or the answer came twice.
// They are dropped. Partitions count theirs here as well.
func (p *Placement) Late() *atomic.Uint64 { return &p.late }

// register puts as among the open Assigners.
func (p *Placement) register(as *Assigner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, as)
}

// unregister removes as from them.
func (p *Placement) unregister(as *Assigner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(x *Assigner) bool { return x == as })
}

// assigners lists the open ones of partition n, the newest last. There may be two for a
// moment: one of them is fenced and does not know it yet.
func (p *Placement) assigners(n int) (list []*Assigner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, as := range p.open {
		if as.n == n {
			list = append(list, as)
		}
	}
	return list
}

// assigner is the newest of partition n; nil if it is not open on this host.
func (p *Placement) assigner(n int) *Assigner {
	if list := p.assigners(n); len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}
