package partition

import (
	"errors"

	"github.com/durafunc/durafunc/taskhub/core"
)

// Receive takes messages from partition s's sender src. What was taken in before is
// dropped, what comes too early too: the sender sends again what is not acknowledged.
// It may be called from anywhere.
func (p *Partition) Receive(src int, s core.Send) {
	p.cfg.Sched.Go(func() {
		messages, err := p.store.adopt(p.ctx, s.Messages)
		if err != nil {
			if p.ctx.Err() == nil {
				p.cfg.Log.Warn("messages are not taken in yet", "partition", p.cfg.Partition, "error", err)
			}
			return
		}
		p.Do(func(c *core.Core, now int64) {
			if err := c.Messages(now, src, s.First, messages); err != nil && !errors.Is(err, core.ErrGap) {
				p.fail(err)
			}
		}, func(error) {})
	})
}

// Acked takes the receipt of partition dst. It may be called from anywhere.
func (p *Partition) Acked(dst int, upTo uint64) {
	p.Do(func(c *core.Core, _ int64) { c.Acked(dst, upTo) }, func(error) {})
}

// Resend sends again what partition dst has not acknowledged; its owner has changed.
func (p *Partition) Resend(dst int) {
	p.Do(func(c *core.Core, _ int64) {
		if s := c.Unacked(dst); len(s.Messages) > 0 {
			p.cfg.Post.Send(p.cfg.Partition, s)
			p.armResend()
		}
	}, func(error) {})
}

// armResend sends again after a while what is not acknowledged by then. No timer runs
// while every message is.
func (p *Partition) armResend() {
	if p.resend != nil {
		return
	}
	p.resend = p.loop.After(resendAfter, func() {
		p.resend = nil
		if p.err != nil || p.stopping || p.done.Fired() {
			return
		}
		for dst := range p.cfg.Partitions {
			if s := p.core.Unacked(dst); len(s.Messages) > 0 {
				p.cfg.Post.Send(p.cfg.Partition, s)
				p.armResend()
			}
		}
	})
}
