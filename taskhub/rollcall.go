package taskhub

import (
	"context"
	"time"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// rollTimeout is how long a new owner waits for hosts to say what they run of its
// partition before it starts it again.
const rollTimeout = 500 * time.Millisecond

func ackEarly() bool { return planted.Is(planted.AckBeforeCommit) }

// holdBack keeps back the activities that former owners have started, and finds out who
// runs them. Those come together after the recovery, as second or later attempts: if the
// first activities are first attempts there are none. It is asked now and not during
// the recovery, because until the claim the former owner may start more.
func (d *desk) holdBack(list []*work.Activity) (begin []*work.Activity) {
	first := d.waiting == nil
	for _, a := range list {
		if a.Attempt > 1 {
			d.waiting = append(d.waiting, a)
		} else {
			begin = append(begin, a)
		}
	}
	switch {
	case len(d.waiting) == 0:
		d.rolled = true
	case first:
		d.do(d.callRoll)
	}
	return begin
}

// callRoll asks every host that is there, and this one, what it runs of the partition,
// and then lets go what waits: an activity that somebody runs goes there, where its result
// is given under the new token, and the others start again.
func (d *desk) callRoll() {
	h := d.h
	r := &transport.Request{Hub: h.id, Partition: uint32(d.n), Op: &transport.Request_Roll{Roll: &transport.Roll{
		Partition: uint32(d.n), Epoch: d.epoch,
	}}}
	hosts := append([]string{h.opts.About.Address}, h.presentHosts()...)
	answers := make([]*transport.Response, len(hosts))
	ctx, cancel := h.opts.Sched.WithTimeout(d.ctx, rollTimeout)
	defer cancel()
	var asked []sched.Signal
	for n, address := range hosts {
		s := h.opts.Sched.NewSignal()
		asked = append(asked, s)
		h.opts.Sched.Go(func() {
			defer s.Fire()
			if answer, err := h.callHost(ctx, address, r); err == nil {
				answers[n] = answer
			}
		})
	}
	for _, s := range asked {
		_ = s.Wait(context.Background()) // ends with the time-out
	}
	runs := map[work.Task]string{}
	for n, a := range answers {
		for _, t := range a.GetTasks() {
			task := work.Task{Instance: t.Instance, Execution: t.Execution, ID: t.Task}
			if _, known := runs[task]; !known && !planted.Is(planted.RollIgnored) {
				runs[task] = hosts[n]
			}
		}
	}
	d.letGo(runs)
}

func (d *desk) letGo(runs map[work.Task]string) {
	var b work.Batch
	var out outgoing
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.rolled = true
	for _, a := range d.waiting {
		if address, known := runs[a.Task()]; known {
			d.sendAway(&out, &away{address: address, activity: a})
		} else {
			b.Activities = append(b.Activities, a)
		}
	}
	waited, started := len(d.waiting), len(b.Activities)
	d.waiting = nil
	d.place(&b, &out)
	d.mu.Unlock()
	d.h.opts.Log.Debug("activities of the former owner", "hub", d.h.opts.Name, "partition", d.n, "epoch", d.epoch,
		"taken over", waited-started, "started again", started)
	d.hand(b, out)
}

// roll answers a new owner's roll call. It is the word that the partition is another's:
// what this host runs for it goes on, for whoever asks.
func (h *Hub) roll(r *transport.Roll) *transport.Response {
	n := int(r.Partition)
	for _, d := range h.desksOf(n) {
		if d.olderThan(r.Epoch) {
			d.close()
		}
	}
	answer := &transport.Response{}
	for _, t := range h.runner.tasks(n, r.Epoch) {
		answer.Tasks = append(answer.Tasks, &transport.Task{Instance: t.Instance, Execution: t.Execution, Task: t.ID})
	}
	return answer
}

func (d *desk) olderThan(epoch uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epoch < epoch
}
