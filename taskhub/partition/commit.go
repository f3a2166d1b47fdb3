package partition

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/sched"
)

// commits is the group commit: at most one PUT in flight, and everything that arrives
// meanwhile in the next one.
type commits struct {
	at       checkpoint.Position // the last record that is durable
	inFlight bool
	waiting  bool // for short work, since could
	could    time.Duration
	wait     sched.Timer
	idle     inflight
}

// maybeCommit starts a commit if one can start and there is something to commit.
func (p *Partition) maybeCommit() {
	if p.commits.inFlight || !p.core.Waiting() {
		return
	}
	if p.core.Pending() && !p.stopping && p.awaitShort() {
		return
	}
	p.stopWaiting()
	s, err := p.core.Seal()
	if err != nil {
		p.fail(err)
		return
	}
	if planted.Is(planted.AnswerBeforeCommit) {
		early := s.Effects
		s.Effects = core.Effects{}
		defer p.releaseEffects(early)
	}
	if s.Number == 0 && (p.cfg.Session.Alive() || planted.Is(planted.FrozenAnswers)) {
		// Nothing changed: the effects depend on commits that are durable already.
		p.releaseEffects(s.Effects)
		return
	}
	p.commits.inFlight = true
	p.load.commits(&s)
	p.commits.idle.enter(p.cfg.Sched)
	at := p.commits.at
	p.cfg.Sched.Go(func() {
		defer p.commits.idle.leave()
		next, err := p.write(at, s)
		p.loop.Run(func() { p.committed(s, next, err) })
	})
}

// awaitShort reports whether the commit should wait a little for work that is about to
// come back.
func (p *Partition) awaitShort() bool {
	now := p.cfg.Sched.Mono()
	if !p.commits.waiting {
		p.commits.waiting, p.commits.could = true, now
	}
	left := commitWait - (now - p.commits.could)
	if left <= 0 || !p.short.any(now) {
		return false
	}
	if p.commits.wait == nil {
		p.commits.wait = p.loop.After(left, func() { p.commits.wait = nil })
	}
	return true
}

func (p *Partition) stopWaiting() {
	p.commits.waiting = false
	if p.commits.wait != nil {
		p.commits.wait.Stop()
		p.commits.wait = nil
	}
}

// write makes one batch durable in the next free slot, and then visible in the state.
// It runs beside the loop.
func (p *Partition) write(at checkpoint.Position, s core.Sealed) (checkpoint.Position, error) {
	if s.Number == 0 {
		// An answer that changes nothing is given under a live lease like any other:
		// a host that was frozen would tell what another owner has changed (E§C3).
		return at, p.cfg.Session.Await(p.ctx)
	}
	log := p.cfg.log()
	rec := commitlog.Record{
		Kind: commitlog.Commit, Hub: p.cfg.Hub, Session: p.cfg.Session.ID(), Partition: p.cfg.N,
		Epoch: p.epoch, Seq: at.Seq + 1, Prev: at.Digest, Body: s.Batch,
	}
	p.cfg.Sched.Random(rec.Nonce[:])
	for {
		b := rec.Encode()
		err := log.Append(p.ctx, p.cfg.Session, rec.Seq, b)
		if err == nil {
			next := checkpoint.Position{Seq: rec.Seq, Epoch: p.epoch, Digest: sha256.Sum256(b)}
			return next, p.db.Apply(s.Batch, next)
		}
		var taken *commitlog.SlotTakenError
		if !errors.As(err, &taken) {
			return at, err
		}
		other, derr := commitlog.Decode(taken.Bytes)
		switch {
		case derr != nil:
			return at, &CorruptError{Key: taken.Key, Err: derr}
		case other.Epoch > p.epoch:
			return at, fmt.Errorf("%w: %s is of epoch %d, ours is %d", ErrFenced, taken.Key, other.Epoch, p.epoch)
		case other.Epoch == p.epoch:
			return at, &CorruptError{Key: taken.Key, Err: fmt.Errorf("session %s wrote under our epoch %d", other.Session, p.epoch)}
		}
		// A fenced owner's record that landed late is void; recovery skips it too.
		rec.Seq++
	}
}

// committed takes the verdict on the commit in flight.
func (p *Partition) committed(s core.Sealed, next checkpoint.Position, err error) {
	p.commits.inFlight = false
	p.load.commits(&core.Sealed{})
	if p.err != nil || p.done.Fired() {
		return
	}
	if err != nil {
		p.failUnlessFenced(err)
		return
	}
	if s.Number > 0 {
		p.commits.at = next
		p.core.Applied(s.Number)
	}
	p.releaseEffects(s.Effects)
	if s.Number > 0 {
		p.check.committed(p, len(s.Batch))
	}
}

// failUnlessFenced stops the partition for err. A corruption is believed only when the
// root still names us, which is found out beside the loop.
func (p *Partition) failUnlessFenced(err error) {
	if !damaged(err) {
		p.fail(err)
		return
	}
	p.cfg.Sched.Go(func() {
		err := p.cfg.confirmCorrupt(p.ctx, p.epoch, err)
		p.loop.Post(func() { p.fail(err) })
	})
}

// releaseEffects lets go what waited for a commit.
func (p *Partition) releaseEffects(e core.Effects) {
	w := e.Work
	if len(w.Items) > 0 && !p.stopping || len(w.Cancels) > 0 || len(w.Evict) > 0 {
		mono := p.cfg.Sched.Mono()
		for _, it := range w.Items {
			p.short.add(it, mono)
		}
		p.cfg.Exec.Submit(w, p.results)
	}
	for _, reply := range e.Replies {
		reply()
	}
	for _, s := range e.Sends {
		p.cfg.Post.Send(p.cfg.N, s)
	}
	for _, a := range e.Acks {
		p.cfg.Post.Ack(p.cfg.N, a)
	}
	if len(e.Sends) > 0 {
		p.armResend()
	}
}
