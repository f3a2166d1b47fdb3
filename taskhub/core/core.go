package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Errors that requests are answered with. They are wrapped with the instance id.
var (
	ErrNotFound        = errors.New("instance not found")
	ErrInstanceExists  = errors.New("instance already exists")
	ErrTerminal        = errors.New("instance has already ended")
	ErrInvalidState    = errors.New("instance is in the wrong state")
	ErrInvalidArgument = errors.New("invalid argument")
)

// Config is what a partition's core has to know. It does not change while it lives.
type Config struct {
	Partition int
	Epoch     uint64
	// Place maps an instance id to its partition.
	Place func(id string) int
	// Partitions is how many there are.
	Partitions int
	// MaxCached bounds the instances kept decoded in memory beside those that are
	// being worked on; 0 means 10,000.
	MaxCached int
	// MaxDeaths is how often the app may die under one episode or activity before
	// it is quarantined (F§14 A7); 0 means 10.
	MaxDeaths int
	// FailNonDeterminism fails an instance whose replay disagrees with history; the
	// default suspends it (F§14 O2).
	FailNonDeterminism bool
	// ReplaceRunning lets a start take over the id of a live instance, which is
	// terminated first (overridableExistingInstanceStates: AnyState, F§2.1 K5).
	ReplaceRunning bool
	// MaxOutboxMessages and MaxOutboxBytes bound the messages to one partition that it has
	// not acknowledged; 0 means 100,000 and 64 MiB. At the bound the episodes that would
	// add to them are held, and requests that would are ErrBusy.
	MaxOutboxMessages, MaxOutboxBytes int
}

// Core is the state machine of one partition under one epoch. It is not safe for
// concurrent use: one event loop owns it.
type Core struct {
	cfg   Config
	state kv.Reader
	err   error // state could not be read: nothing that follows counts

	meta      Meta
	metaDirty bool

	cache            cache
	tombstones       map[string]uint64 // purged ids whose batch is not applied yet
	ready            []*instance       // may have an episode to run
	dirty            []*instance       // changed since the last Seal, in order
	local            []*Message        // to instances of this partition
	timers           timers
	serial           uint64
	episodes         map[uint64]*instance
	activities       map[uint64]*activity
	nonDeterministic map[uint64]struct{} // instances suspended for non-determinism
	payloads         payloads
	loaded           int64                // when this owner began, by its clock
	spanStarted      int64                // when it last began a span of requests, or began itself
	current          *currentRequest      // the request with an id that this step carries out
	answered         map[string]*answered // by request id, as far as the state does not show it
	outbox           []outbound           // per destination
	held             map[uint64]struct{}  // instances that wait for room in an outbox
	// sealedSent and durableSent are meta.Sent as of the last batch that was sealed,
	// and of the last one that is durable.
	sealedSent, durableSent []uint64

	batch  kv.Batch
	needed bool // batch holds more than trimming
	// unwritten is about how many bytes of the instances Seal will add to the batch.
	unwritten int
	effects   Effects
	sealed    uint64 // number of the last sealed batch
	applied   uint64 // number of the last applied batch
	touched   map[uint64][]*instance
}

// Effects leave the partition once the batch that they were sealed with is durable.
type Effects struct {
	Work    work.Batch // activities, cancels and evictions; never episodes
	Replies []func()   // answers to requests, in order
	Sends   []Send     // messages to other partitions
	Acks    []Ack      // receipts for messages from other partitions
}

// Empty reports whether there is nothing to release.
func (e *Effects) Empty() bool {
	return e.Work.Empty() && len(e.Replies)+len(e.Sends)+len(e.Acks) == 0
}

// Send is a run of outbox messages to one partition, numbered densely from First.
type Send struct {
	Dst      int
	First    uint64
	Messages [][]byte // encoded Message
}

// Ack tells partition Src that everything up to UpTo is taken in.
type Ack struct {
	Src  int
	UpTo uint64
}

// New makes the core of an empty partition; Load fills it from existing state.
func New(cfg Config, state kv.Reader) *Core {
	if cfg.MaxCached == 0 {
		cfg.MaxCached = 10_000
	}
	if cfg.MaxDeaths == 0 {
		cfg.MaxDeaths = 10
	}
	if cfg.MaxOutboxMessages == 0 {
		cfg.MaxOutboxMessages = defaultOutboxMessages
	}
	if cfg.MaxOutboxBytes == 0 {
		cfg.MaxOutboxBytes = defaultOutboxBytes
	}
	c := &Core{
		cfg: cfg, state: state,
		tombstones:       map[string]uint64{},
		episodes:         map[uint64]*instance{},
		activities:       map[uint64]*activity{},
		nonDeterministic: map[uint64]struct{}{},
		held:             map[uint64]struct{}{},
		payloads:         newPayloads(),
		outbox:           make([]outbound, cfg.Partitions),
		touched:          map[uint64][]*instance{},
	}
	c.cache.init()
	c.meta.Sent = make([]uint64, cfg.Partitions)
	c.meta.Received = make([]uint64, cfg.Partitions)
	c.sealedSent = make([]uint64, cfg.Partitions)
	c.durableSent = make([]uint64, cfg.Partitions)
	return c
}

// Err is the first failure to read state. Once it is set the partition must stop
// without sealing anything more.
func (c *Core) Err() error { return c.err }

func (c *Core) fail(err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("partition %d: reading state: %w", c.cfg.Partition, err)
	}
}

// Load takes over the recovered state: counters, timers, unfinished activities
// (which are dispatched again), unconsumed events (whose episodes run again) and
// the outbox (which is sent again).
func (c *Core) Load(now int64) error {
	if v, err := c.state.Get([]byte{keyMeta}); err != nil {
		return err
	} else if v != nil {
		c.meta = Meta{} // decoding appends to what is there
		if err := c.meta.UnmarshalVT(v); err != nil {
			return fmt.Errorf("partition %d: meta: %w", c.cfg.Partition, err)
		}
	}
	for len(c.meta.Sent) < c.cfg.Partitions {
		c.meta.Sent = append(c.meta.Sent, 0)
	}
	for len(c.meta.Received) < c.cfg.Partitions {
		c.meta.Received = append(c.meta.Received, 0)
	}
	copy(c.durableSent, c.meta.Sent)
	c.loadRequests(now)
	for _, step := range []func(now int64) error{c.loadPayloads, c.loadTasks, c.loadInboxes, c.loadOutbox} {
		if err := step(now); err != nil {
			return err
		}
	}
	c.settle(now)
	c.collectSends() // also when nothing else happens
	return c.err
}

// loadInboxes wakes every instance with events that no episode has consumed.
func (c *Core) loadInboxes(int64) error {
	last := uint64(0)
	for e, err := range c.state.Scan([]byte{keyInbox}, []byte{keyInbox + 1}) {
		if err != nil {
			return err
		}
		if num := binary.BigEndian.Uint64(e.Key[1:]); num != last {
			last = num
			if inst := c.byNum(num); inst != nil {
				c.wake(inst)
			}
		}
	}
	return c.err
}

// settle finishes a step: messages between instances of this partition need no
// commit of their own, so they are delivered now.
func (c *Core) settle(now int64) {
	for len(c.local) > 0 && c.err == nil {
		queue := c.local
		c.local = nil
		for _, m := range queue {
			c.deliver(now, m)
		}
	}
}

// Done takes the result of a work item. One whose token is not out is late and dropped:
// false.
func (c *Core) Done(now int64, r *work.Result) (wanted bool) {
	if r.Kind == work.Orchestrator {
		return c.episodeDone(now, r)
	}
	return c.activityDone(now, r)
}

// reply queues an answer; it leaves with the effects of the batch being gathered.
func (c *Core) reply(f func()) { c.effects.Replies = append(c.effects.Replies, f) }

// token makes the token of the next work item.
func (c *Core) token() work.Token {
	c.serial++
	return work.Token{Partition: c.cfg.Partition, Epoch: c.cfg.Epoch, Serial: c.serial}
}

// NextTimer is when Tick has something to do, in Unix nanoseconds; 0: never.
func (c *Core) NextTimer() int64 {
	if len(c.timers.timerHeap) == 0 {
		return 0
	}
	return c.timers.timerHeap[0].due
}

// Busy reports whether anything but timers and requests lets the partition go on: work that
// is out or could be, messages that are not acknowledged, effects that wait.
func (c *Core) Busy() bool {
	if c.Waiting() || len(c.episodes)+len(c.activities)+len(c.local)+len(c.held) > 0 {
		return true
	}
	return slices.ContainsFunc(c.ready, func(i *instance) bool { return i.runnable() }) ||
		slices.ContainsFunc(c.outbox, func(o outbound) bool { return len(o.messages) > 0 })
}

// WakeAt is NextTimer for a partition that nobody serves until then.
func (c *Core) WakeAt() int64 {
	if !planted.Is(planted.StartsSleep) {
		return c.NextTimer()
	}
	first := int64(0)
	for _, e := range c.timers.timerHeap {
		if e.task != startTask && (first == 0 || e.due < first) {
			first = e.due
		}
	}
	return first
}

// ExecutionID derives the id of a new execution from whatever makes it unique.
func ExecutionID(seed ...string) string { return hashID(seed...) }

// terminal reports whether the instance has ended.
func (i *instance) terminal() bool { return history.IsTerminal(i.row.Status) }
