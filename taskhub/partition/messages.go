package partition

import (
	"errors"
	"fmt"
	"sync"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// intake keeps messages from other partitions in the order in which they came, also
// when some have to wait until the payloads that they refer to are copied.
type intake struct {
	mu     sync.Mutex
	queues map[int][]received // by sender, while one of them waits
}

// waiting reports whether messages wait for a payload.
func (i *intake) waiting() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.queues) > 0
}

// received is a run of messages that a sender numbered from first on.
type received struct {
	first    uint64
	messages []*core.Message
}

// end is the number after that of the last message.
func (r *received) end() uint64 { return r.first + uint64(len(r.messages)) }

// Receive takes messages of partition src. What was taken in before is dropped, what
// comes too early too: the sender sends again what is not acknowledged. It may be called
// from anywhere.
func (p *Partition) Receive(src int, s core.Send) {
	r := received{first: s.First, messages: make([]*core.Message, len(s.Messages))}
	foreign := false
	for n, b := range s.Messages {
		m := &core.Message{}
		if err := m.UnmarshalVT(b); err != nil {
			p.Abandon(fmt.Errorf("message %d from partition %d: %w", s.First+uint64(n), src, err))
			return
		}
		r.messages[n] = m
		foreign = foreign || p.store.isForeign(m)
	}
	p.intake.mu.Lock()
	defer p.intake.mu.Unlock()
	queue, waiting := p.intake.queues[src]
	switch {
	case waiting:
		// Only what follows: the sender repeats all that is not acknowledged while the store
		// cannot be read.
		if last := queue[len(queue)-1]; r.first <= last.end() && r.end() > last.end() {
			p.intake.queues[src] = append(queue, r)
		}
	case foreign:
		if p.intake.queues == nil {
			p.intake.queues = map[int][]received{}
		}
		p.intake.queues[src] = []received{r}
		p.cfg.Sched.Go(func() { p.adoptAll(src) })
	default:
		p.takeMessages(src, r)
	}
}

// adoptAll copies the payloads of the messages that wait, and takes them in order.
func (p *Partition) adoptAll(src int) {
	for {
		p.intake.mu.Lock()
		queue := p.intake.queues[src]
		if len(queue) == 0 {
			delete(p.intake.queues, src)
			p.intake.mu.Unlock()
			return
		}
		r := queue[0]
		p.intake.mu.Unlock()
		for attempt := 0; ; attempt++ {
			err := p.store.adopt(p.ctx, r.messages)
			if err == nil {
				break
			}
			if verdict.Pause(p.ctx, p.cfg.Sched, attempt, err) != nil {
				return // the partition has ended
			}
			p.cfg.Log.Error("messages wait for a payload that cannot be read", "partition", p.cfg.N, "error", err)
		}
		p.intake.mu.Lock()
		p.intake.queues[src] = p.intake.queues[src][1:]
		p.takeMessages(src, r)
		p.intake.mu.Unlock()
	}
}

func (p *Partition) takeMessages(src int, r received) {
	p.Do(func(c *core.Core, now int64) {
		if p.overLimit() {
			return // no receipt: the sender keeps them, and sends them again
		}
		if err := c.Messages(now, src, r.first, r.messages); err != nil && !errors.Is(err, core.ErrGap) {
			p.fail(err)
		}
	}, func(error) {})
}

// Acked takes the receipt of partition dst. It may be called from anywhere.
func (p *Partition) Acked(dst int, upTo uint64) {
	p.Do(func(c *core.Core, _ int64) { c.Acked(dst, upTo) }, func(error) {})
}

// Resend sends again what partition dst has not acknowledged; its owner has changed.
func (p *Partition) Resend(dst int) {
	p.Do(func(c *core.Core, _ int64) {
		if !planted.Is(planted.SingleDelivery) {
			p.sendAgain(dst)
		}
	}, func(error) {})
}

// armResend sends again after a while what is not acknowledged by then. No timer runs
// while every message is.
func (p *Partition) armResend() {
	if p.resend != nil || planted.Is(planted.SingleDelivery) {
		return
	}
	p.resend = p.loop.After(resendAfter, func() {
		p.resend = nil
		if p.err != nil || p.stopping || p.done.Fired() {
			return
		}
		for dst := range p.cfg.Partitions {
			p.sendAgain(dst)
		}
	})
}

// sendAgain sends what partition dst has not acknowledged. What does not fit into the
// connection at once comes next time, since the messages before it are received by then.
func (p *Partition) sendAgain(dst int) {
	for _, s := range p.core.Unacked(dst) {
		p.cfg.Post.Send(p.cfg.N, s)
		p.armResend()
	}
}
