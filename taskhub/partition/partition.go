package partition

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Partition is an open partition: claimed, recovered and serving, until it is stopped
// or fails. It never restarts itself; the hub decides whether to claim it again.
type Partition struct {
	cfg      Config
	epoch    uint64
	loop     sched.Loop
	ctx      context.Context
	cancel   context.CancelCauseFunc
	done     sched.Signal
	db       checkpoint.DB
	store    payloadStore
	reads    inflight
	calls    calls
	intake   intake
	idleness lastIdleness
	load     load

	// Below: owned by the loop.
	core     *core.Core
	err      error // why it stopped
	stopping bool
	commits  commits
	short    shortWorkOut
	check    checkpoints
	timer    sched.Timer
	timerAt  int64
	resend   sched.Timer
	patience sched.Timer  // while it is stopping: how long work that is out may come back
	drained  sched.Signal // fires when it is stopping and nothing waits

	// released fires just before the root is given up: from then on nothing is answered.
	released sched.Signal
}

// Open claims the partition for cfg.Session, recovers it and starts to serve. free is
// the session known to have ended, if it owned the partition before. It fails with
// ErrOwned, ErrFenced, lease.ErrLost, a *CorruptError, or ctx's error.
func Open(ctx context.Context, cfg Config, free string) (*Partition, error) {
	started := cfg.Sched.Mono()
	r, err := recoverPartition(ctx, &cfg, free)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg, err)
	}
	p := &Partition{
		cfg: cfg, epoch: r.root.Epoch, db: r.db,
		done: cfg.Sched.NewSignal(), drained: cfg.Sched.NewSignal(), released: cfg.Sched.NewSignal(),
	}
	p.store.init(&p.cfg, p.epoch)
	p.load.limits = cfg.Limits.withDefaults()
	p.ctx, p.cancel = cfg.Sched.WithCancel(context.Background())
	p.core = core.New(cfg.core(r.root.Epoch), r.db)
	if err := p.core.Load(p.now()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", cfg, err), r.db.Close())
	}
	p.commits.at = r.db.Position()
	p.check.init(p, r)
	cfg.Log.Info("partition opened", "partition", cfg.N, "epoch", p.epoch, "seq", p.commits.at.Seq,
		"replayed", r.records, "elapsed", cfg.Sched.Mono()-started)
	p.loop = cfg.Sched.NewLoop(p.idle) // from here on all fields are the loop's
	p.loop.Post(func() {})             // hand out what the recovery found
	cfg.Sched.Go(func() {              // an idle partition would not notice otherwise
		if cfg.Session.Lost().Wait(p.ctx) == nil {
			p.Abandon(lease.ErrLost)
		}
	})
	return p, nil
}

// Epoch is the epoch under which the partition is owned.
func (p *Partition) Epoch() uint64 { return p.epoch }

// Done fires when the partition has stopped serving; Err then says why.
func (p *Partition) Done() sched.Signal { return p.done }

// Err is why the partition stopped; nil after Stop. Only after Done.
func (p *Partition) Err() error { return p.err }

// Read runs f over committed state, from any goroutine. It answers under a live lease
// only: a host that was frozen must not answer from what another owner has changed
// since (E§C3, rule 3), so the lease is checked before and after. A working state that
// cannot be read stops the partition, and it is opened again with another one.
func (p *Partition) Read(ctx context.Context, f func(kv.Reader) error) error {
	for {
		if err := p.cfg.Session.Await(ctx); err != nil {
			return err
		}
		p.reads.enter(p.cfg.Sched)
		if p.done.Fired() || p.givenUp() {
			p.reads.leave()
			return ErrStopped
		}
		state := reading{Reader: p.db}
		err := f(&state)
		p.reads.leave()
		if state.err != nil {
			p.loop.Post(func() { p.fail(fmt.Errorf("reading state: %w", state.err)) })
			return ErrStopped
		}
		if p.givenUp() {
			return ErrStopped
		}
		if p.cfg.Session.Alive() {
			return err
		}
	}
}

// reading is a reader that remembers whether the state could be read.
type reading struct {
	kv.Reader
	err error
}

// Get implements kv.Reader.
func (r *reading) Get(key []byte) ([]byte, error) {
	v, err := r.Reader.Get(key)
	if err != nil {
		r.err = err
	}
	return v, err
}

// Scan implements kv.Reader.
func (r *reading) Scan(lo, hi []byte) iter.Seq2[kv.Entry, error] {
	return func(yield func(kv.Entry, error) bool) {
		for e, err := range r.Reader.Scan(lo, hi) {
			if err != nil {
				r.err = err
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// givenUp reports whether another host may own the partition, though the session lives.
func (p *Partition) givenUp() bool {
	return p.released.Fired() && !planted.Is(planted.ReadsWhileReleasing)
}

// ErrStopped means that the partition does not serve any more.
var ErrStopped = errors.New("partition has stopped")

// Do runs a step of the core in the loop. If the partition has stopped, or stops before
// the step, refused is called instead, once. Both run in the loop or in the caller.
func (p *Partition) Do(step func(c *core.Core, now int64), refused func(error)) {
	p.do(p.loop.Post, step, refused)
}

// DoInline is Do for a caller that waits for the step and holds no lock: it lends the loop
// its goroutine if that is at rest.
func (p *Partition) DoInline(step func(c *core.Core, now int64), refused func(error)) {
	p.do(p.loop.Run, step, refused)
}

func (p *Partition) do(post func(func()), step func(c *core.Core, now int64), refused func(error)) {
	if p.done.Fired() {
		refused(ErrStopped)
		return
	}
	post(func() {
		if p.err != nil || p.stopping || p.done.Fired() {
			refused(ErrStopped)
			return
		}
		step(p.core, p.now())
	})
}

// Track lets ended be called, from any goroutine, when the partition stops serving, so
// that nobody waits for an answer that cannot come. The function that it returns ends
// that.
func (p *Partition) Track(ended func(error)) (forget func()) { return p.calls.add(ended) }

func (p *Partition) now() int64 { return p.cfg.Sched.Now().UnixNano() }

// idle runs after each burst of steps: what they made ready goes out together.
func (p *Partition) idle() {
	if p.err != nil || p.done.Fired() {
		return
	}
	now := p.now()
	if next := p.core.NextTimer(); next != 0 && next <= now && !p.stopping {
		p.core.Tick(now)
	}
	over := p.overLimit()
	if !p.stopping && !over {
		if episodes := p.core.TakeEpisodes(now); len(episodes) > 0 {
			mono := p.cfg.Sched.Mono()
			for _, e := range episodes {
				p.short.add(e, mono)
			}
			p.cfg.Exec.Submit(work.Batch{Items: episodes}, p.results)
		}
	}
	if err := p.core.Err(); err != nil {
		p.fail(err)
		return
	}
	p.armTimer(now)
	p.maybeCommit()
	if over && !p.overLimit() {
		p.loop.Post(func() {}) // it was answers alone: what was held back can go on
	}
	p.noteIdleness()
	if p.stopping && !p.commits.inFlight && !p.core.Waiting() && (len(p.short.out) == 0 || p.patience == nil) {
		p.drained.Fire()
	}
}

// armTimer sets the one timer of the loop to the next durable timer that is due.
func (p *Partition) armTimer(now int64) {
	next := p.core.NextTimer()
	if next == p.timerAt || p.stopping {
		return
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.timerAt = next
	if next != 0 {
		p.timer = p.loop.After(time.Duration(max(0, next-now)), func() { p.timerAt, p.timer = 0, nil })
	}
}

// results is Take as the executor calls it.
func (p *Partition) results(r []*work.Result) { p.Take(r, nil) }

// Take takes the answers of work items, from any goroutine. Those that nobody waits for
// are dropped and counted. committed, if not nil, is called once, in the loop, when what
// the answers changed is durable; never, when the partition does not take them any more.
func (p *Partition) Take(r []*work.Result, committed func()) {
	if p.done.Fired() {
		return
	}
	if p.store.hasLarge(r) {
		p.cfg.Sched.Go(func() {
			if err := p.store.intern(p.ctx, r); err == nil {
				p.loop.Post(func() { p.take(r, committed) })
			}
		})
		return
	}
	p.loop.Run(func() { p.take(r, committed) })
}

func (p *Partition) take(results []*work.Result, committed func()) {
	if p.err != nil || p.drained.Fired() {
		return
	}
	now, mono := p.now(), p.cfg.Sched.Mono()
	for _, r := range results {
		p.short.end(r.Token, mono)
		p.late(p.core.Done(now, r))
	}
	if committed != nil {
		p.core.Flush(committed)
	}
}

// late counts an answer that was not wanted.
func (p *Partition) late(wanted bool) {
	if !wanted && p.cfg.Late != nil {
		p.cfg.Late.Add(1)
	}
}

// fail stops the partition at once: nothing that is not committed leaves any more.
func (p *Partition) fail(err error) {
	if p.err != nil || p.done.Fired() {
		return
	}
	p.err = fmt.Errorf("%s: %w", p.cfg.Bucket, err)
	p.end()
}

// end closes what the partition holds. The state is closed when a commit that is under
// way has come back.
func (p *Partition) end() {
	p.cancel(ErrStopped)
	for _, t := range []sched.Timer{p.timer, p.resend, p.patience, p.commits.wait, p.check.idleTimer} {
		if t != nil {
			t.Stop()
		}
	}
	p.done.Fire()
	p.drained.Fire()
	p.calls.end(ErrStopped)
	p.cfg.Sched.Go(func() {
		p.commits.idle.wait()
		p.check.idle.wait()
		p.reads.wait()
		if err := p.db.Close(); err != nil {
			p.cfg.Log.Warn("working state was not closed cleanly", "partition", p.cfg.N, "error", err)
		}
		p.loop.Close()
	})
}

// Quiesce begins to stop the partition: it hands out nothing more and takes no requests,
// only, for as long as patience, the results of what is out.
func (p *Partition) Quiesce(patience time.Duration) {
	p.loop.Post(func() {
		if !p.stopping && p.err == nil {
			p.stopping = true
			p.patience = p.loop.After(patience, func() { p.patience = nil })
		}
	})
}

// Checkpoint takes a checkpoint while the partition serves, so that a Stop that follows
// has little left to do.
func (p *Partition) Checkpoint(ctx context.Context) error {
	taken := p.cfg.Sched.NewSignal()
	p.loop.Post(func() {
		if p.err != nil || p.done.Fired() || p.stopping || p.check.records == 0 && !p.check.running {
			taken.Fire()
			return
		}
		p.check.waiting = append(p.check.waiting, taken)
		p.check.start(p)
	})
	forget := p.Track(func(error) { taken.Fire() })
	defer forget()
	return taken.Wait(ctx)
}

// Stop ends the partition in good order: it hands out nothing more, waits a moment for
// what is out, commits what it has, takes a checkpoint, and releases its root so that
// the next owner need not wait. Work that takes longer is done again there.
func (p *Partition) Stop(ctx context.Context) error {
	_, err := p.stopGracefully(ctx, true)
	return err
}

// Payloads is the store of the partition's large payloads.
func (p *Partition) Payloads() Payloads { return &p.store }

// Abandon ends the partition at once, as a crash would: what is not committed is
// redone by the next owner.
func (p *Partition) Abandon(reason error) {
	p.loop.Post(func() { p.fail(reason) })
}
