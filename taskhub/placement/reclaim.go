package placement

import (
	"context"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// reclaimTimeout is how long a new owner waits for hosts to say what they run of its
// partition before it starts it again.
const reclaimTimeout = 500 * time.Millisecond

func ackEarly() bool { return planted.Is(planted.AckBeforeCommit) }

// holdRetries keeps back the items that former owners have started and that are not replayed,
// and finds out who runs them. Those come together after the recovery, as second or later
// attempts: if the first of such kinds are first attempts there are none. It is asked now and
// not during the recovery, because until the claim the former owner may start more.
func (as *Assigner) holdRetries(list []*work.Item) (begin []*work.Item) {
	if as.reclaimed || !slices.ContainsFunc(list, func(it *work.Item) bool { return !it.Kind.Replayed() }) {
		return list
	}
	first := as.held == nil
	for _, it := range list {
		if it.Attempt > 1 {
			as.held = append(as.held, it)
		} else {
			begin = append(begin, it)
		}
	}
	switch {
	case len(as.held) == 0:
		as.reclaimed = true
	case first:
		as.beside.Go(as.reclaim)
	}
	return begin
}

// reclaim asks all hosts that are present, this one too, what they run of the partition,
// and then releases what is held: an activity that somebody runs goes there, where its result
// is given under the new token, and the others start again.
func (as *Assigner) reclaim() {
	p := as.p
	r := &transport.Request{Hub: p.cfg.Hub, Partition: uint32(as.n), Op: &transport.Request_InFlight{InFlight: &transport.InFlight{
		Partition: uint32(as.n), Epoch: as.epoch,
	}}}
	hosts := append([]string{p.cfg.Address}, p.presentHosts()...)
	answers := make([]*transport.Response, len(hosts))
	ctx, cancel := p.cfg.Sched.WithTimeout(as.ctx, reclaimTimeout)
	defer cancel()
	asked := sched.NewGroup(p.cfg.Sched)
	for n, address := range hosts {
		asked.Go(func() {
			if answer, err := p.call(ctx, address, r); err == nil {
				answers[n] = answer
			}
		})
	}
	_ = asked.Wait(context.Background()) // ends with the time-out
	runs := map[work.Task]string{}
	for n, a := range answers {
		for _, t := range a.GetTasks() {
			task := work.Task{Instance: t.Instance, Execution: t.Execution, ID: t.Task}
			if _, known := runs[task]; !known && !planted.Is(planted.InFlightIgnored) {
				runs[task] = hosts[n]
			}
		}
	}
	as.releaseHeld(runs)
}

func (as *Assigner) releaseHeld(runs map[work.Task]string) {
	var b work.Batch
	var out sendBatch
	as.mu.Lock()
	if as.closed {
		as.mu.Unlock()
		return
	}
	as.reclaimed = true
	for _, it := range as.held {
		if address, known := runs[it.Task]; known {
			as.sendRemote(&out, &remote{address: address, item: it})
		} else {
			b.Items = append(b.Items, it)
		}
	}
	waited, started := len(as.held), len(b.Items)
	as.held = nil
	as.place(&b, &out)
	as.mu.Unlock()
	as.p.cfg.Log.Debug("activities of the former owner", "partition", as.n, "epoch", as.epoch,
		"takenOver", waited-started, "startedAgain", started)
	as.hand(b, out)
}

// inFlight answers a new owner that asks what this host runs. That says that the partition is
// another's: what this host runs for it goes on, for whoever asks.
func (p *Placement) inFlight(r *transport.InFlight) *transport.Response {
	n := int(r.Partition)
	for _, as := range p.assigners(n) {
		if as.olderThan(r.Epoch) {
			as.Close()
		}
	}
	answer := &transport.Response{}
	for _, t := range p.worker.tasks(n, r.Epoch) {
		answer.Tasks = append(answer.Tasks, &transport.Task{Instance: t.Instance, Execution: t.Execution, Task: t.ID})
	}
	return answer
}

func (as *Assigner) olderThan(epoch uint64) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.epoch < epoch
}
