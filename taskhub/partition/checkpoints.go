package partition

import (
	"context"
	"errors"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// checkpoints takes a checkpoint when enough has been committed, one at a time, beside
// the commit loop, and then collects what the root no longer names.
type checkpoints struct {
	// Owned by the loop.
	records, bytes int           // since the last checkpoint began
	last           time.Duration // Mono of the last commit
	running        bool
	idleTimer      sched.Timer
	waiting        []sched.Signal // of those who want to know when it has ended

	idle inflight

	// Owned by whoever has entered idle.
	root *Root
	tag  storage.Tag
	pub  *checkpoint.Publisher
	gc   garbage
}

func (c *checkpoints) init(p *Partition, r *recovery) {
	c.root, c.tag, c.pub = r.root, r.tag, r.pub
	if r.fellBack { // the next root must name a checkpoint that is good as the one before
		good := *r.root
		good.Checkpoint, good.Previous = r.root.Previous, nil
		c.root = &good
	}
	c.records, c.bytes = r.records, r.bytes
	c.gc = garbage{cfg: &p.cfg, keep: r.root}
}

// committed counts one commit and starts what is due.
func (c *checkpoints) committed(p *Partition, bytes int) {
	c.records++
	c.bytes += bytes
	c.last = p.cfg.Sched.Mono()
	if c.records >= p.cfg.checkpointEvery() || c.bytes >= checkpointBytes {
		c.start(p)
	} else if c.idleTimer == nil {
		c.arm(p, checkpointIdle)
	}
}

func (c *checkpoints) arm(p *Partition, d time.Duration) {
	c.idleTimer = p.loop.After(d, func() {
		c.idleTimer = nil
		switch quiet := p.cfg.Sched.Mono() - c.last; {
		case c.records == 0 || p.err != nil || p.stopping:
		case quiet < checkpointIdle:
			c.arm(p, checkpointIdle-quiet)
		default:
			c.start(p)
		}
	})
}

// start takes a checkpoint of what is committed by now. A failure is not the
// partition's end: the log is still there, and the next one is tried after as many
// records again.
func (c *checkpoints) start(p *Partition) {
	if c.running || p.stopping {
		return
	}
	c.running = true
	c.records, c.bytes = 0, 0
	since := p.now()
	garbage := p.core.Garbage(since - int64(deleteGrace))
	c.idle.enter(p.cfg.Sched)
	p.cfg.Sched.Go(func() {
		defer c.idle.leave()
		err := c.take(p.ctx, p)
		var collected []string
		if err == nil {
			collected = c.gc.collect(p.ctx, garbage)
		}
		orphans := c.gc.orphans
		c.gc.orphans = nil
		p.loop.Post(func() {
			p.core.Orphans(p.now(), orphans)
			c.taken(p, collected, err)
		})
	})
}

func (c *checkpoints) taken(p *Partition, collected []string, err error) {
	c.running = false
	for _, w := range c.waiting {
		w.Fire()
	}
	c.waiting = nil
	if p.err != nil || p.done.Fired() {
		return
	}
	switch {
	case errors.Is(err, ErrFenced):
		p.fail(err)
	case err != nil:
		p.cfg.Log.Warn("checkpoint failed, the log grows until the next one", "partition", p.cfg.N, "epoch", p.epoch, "error", err)
	default:
		p.core.Collected(collected)
	}
	if c.records > 0 && c.idleTimer == nil {
		c.arm(p, checkpointIdle)
	}
}

// take uploads the state and publishes it in the root.
func (c *checkpoints) take(ctx context.Context, p *Partition) error {
	started := p.cfg.Sched.Mono()
	frozen, err := p.db.Freeze()
	if err != nil {
		return err
	}
	defer frozen.Release()
	m, err := c.pub.Upload(ctx, frozen)
	if err != nil {
		return err
	}
	next := *c.root
	next.Checkpoint, next.Previous = m, c.root.Checkpoint
	next.TrimBelow = max(next.TrimBelow, c.gc.trimBelow())
	if err := c.publish(ctx, p, &next); err != nil {
		return err
	}
	p.cfg.Log.Debug("checkpoint published", "partition", p.cfg.N, "epoch", p.epoch, "seq", m.Seq,
		"tables", len(m.Tables), "elapsed", p.cfg.Sched.Mono()-started)
	return nil
}

func (c *checkpoints) publish(ctx context.Context, p *Partition, next *Root) error {
	tag, err := p.cfg.writeRoot(ctx, next, c.tag)
	if err != nil {
		return err
	}
	c.gc.published(c.root, next)
	c.root, c.tag = next, tag
	return nil
}

// release takes a last checkpoint and gives the partition up, so that another host can
// claim it without waiting for a lease. clean says that the checkpoint is taken even if
// the log after the last one is no longer than a record, such as that of the epoch.
func (p *Partition) release(ctx context.Context, wakeAt int64, clean bool) error {
	p.check.idle.wait()
	p.commits.idle.wait()
	p.check.idle.enter(p.cfg.Sched)
	defer p.check.idle.leave()
	c := &p.check
	// A hub that is stopped in good order starts without replaying anything.
	keep := uint64(1)
	if clean {
		keep = 0
	}
	if c.root.Checkpoint == nil || p.db.Position().Seq > c.root.Checkpoint.Seq+keep {
		if err := c.take(ctx, p); err != nil {
			return err
		}
	}
	next := *c.root
	next.Owner, next.WakeAt = "", wakeAt
	if planted.Is(planted.EpochReset) {
		next.Epoch = 0
	}
	// From here on another host may own the partition, though the session lives on: whoever
	// asks now must not be answered from this state.
	p.released.Fire()
	return c.publish(ctx, p, &next)
}

// garbage knows the objects that the root no longer names, and since when. It is kept
// in memory only: after a takeover the grace begins anew, and a listing finds what an
// earlier owner left behind.
type garbage struct {
	cfg   *Config
	keep  *Root
	swept bool
	// tables maps object names to the moment since which nothing refers to them.
	tables map[string]time.Duration
	bounds []bound
	// orphans are payload objects of earlier epochs, to be told to the core once.
	orphans []string
	// nextSlot is the lowest log slot that may exist; 0: not known yet.
	nextSlot uint64
}

// bound says that the slots below seq have been needless since at.
type bound struct {
	seq uint64
	at  time.Duration
}

// deletesAtOnce bounds the log slots deleted after one checkpoint: a mass deletion
// slows the file system's creates for a minute (measured on ext4).
const deletesAtOnce = 2 * checkpointRecords

// published notes what a new root stopped naming.
func (g *garbage) published(old, now *Root) {
	g.keep = now
	at := g.cfg.Sched.Mono()
	if g.tables == nil {
		g.tables = map[string]time.Duration{}
	}
	named := g.named()
	for _, m := range []*checkpoint.Manifest{old.Checkpoint, old.Previous} {
		for _, name := range m.Objects() {
			if _, noted := g.tables[name]; !noted && !named[name] {
				g.tables[name] = at
			}
		}
	}
	// The log from the previous checkpoint on is what a damaged newest one would need.
	if now.Previous != nil {
		if n := len(g.bounds); n == 0 || g.bounds[n-1].seq < now.Previous.Seq+1 {
			g.bounds = append(g.bounds, bound{seq: now.Previous.Seq + 1, at: at})
		}
	}
}

func (g *garbage) named() map[string]bool {
	named := map[string]bool{}
	for _, m := range []*checkpoint.Manifest{g.keep.Checkpoint, g.keep.Previous} {
		for _, name := range m.Objects() {
			named[name] = true
		}
	}
	return named
}

// trimBelow is the bound that has been needless for the whole grace.
func (g *garbage) trimBelow() uint64 {
	var due uint64
	for _, b := range g.bounds {
		if g.cfg.Sched.Mono()-b.at >= grace() {
			due = b.seq
		}
	}
	return due
}

// collect deletes what has been needless for the whole grace, a portion at a time, and
// answers the payload names of those that it was given. Failures wait for the next time.
func (g *garbage) collect(ctx context.Context, payloads []string) (collected []string) {
	now := g.cfg.Sched.Mono()
	if err := g.sweep(ctx, now); err != nil {
		return nil
	}
	for _, name := range due(g.tables, now) {
		if g.remove(ctx, g.cfg.tablePrefix()+name) {
			delete(g.tables, name)
		}
	}
	for len(g.bounds) > 0 && g.bounds[0].seq <= g.keep.TrimBelow {
		g.bounds = g.bounds[1:]
	}
	log := g.cfg.log()
	for range deletesAtOnce {
		if g.nextSlot == 0 || g.nextSlot >= g.keep.TrimBelow || !g.remove(ctx, log.Key(g.nextSlot)) {
			break
		}
		g.nextSlot++
	}
	for _, name := range payloads {
		if g.remove(ctx, g.cfg.payloadPrefix()+name) {
			collected = append(collected, name)
		}
	}
	return collected
}
