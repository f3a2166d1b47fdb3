package dispatch

import (
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// deliveries gathers answers: those for one partition and epoch leave in one call,
// through the callback of one of its items.
type deliveries []delivery

type delivery struct {
	partition int
	epoch     uint64
	results   func([]*work.Result)
	answers   []*work.Result
}

func (ds *deliveries) add(it *item, r *work.Result) {
	for i := range *ds { // a handful of partitions
		if d := &(*ds)[i]; d.partition == it.token.Partition && d.epoch == it.token.Epoch {
			d.answers = append(d.answers, r)
			return
		}
	}
	*ds = append(*ds, delivery{
		partition: it.token.Partition, epoch: it.token.Epoch, results: it.results, answers: []*work.Result{r},
	})
}

// deliver calls the partitions. The dispatcher's lock must not be held: a
// partition may submit from inside.
func (ds deliveries) deliver() {
	for _, d := range ds {
		d.results(d.answers)
	}
}

// Results takes the answers of one frame of an app (supervisor.Handler).
func (d *Dispatcher) Results(f *protocol.AppFrame) {
	var (
		out        deliveries
		fs         frames
		results    = make([]work.Result, 0, len(f.Orchestrators)+len(f.Activities))
		episodes   = make([]work.EpisodeResult, len(f.Orchestrators))
		activities = make([]work.ActivityResult, len(f.Activities))
	)
	d.mu.Lock()
	for i, r := range f.Orchestrators {
		if it := d.finish(r.GetWork(), Orchestrator); it != nil {
			orchestration.Result(&episodes[i], r)
			results = append(results, work.Result{Kind: it.kind, Token: it.token, Episode: &episodes[i]})
			out.add(it, &results[len(results)-1])
		}
	}
	for i, r := range f.Activities {
		if it := d.finish(r.GetWork(), Activity); it != nil {
			activity.Result(&activities[i], r)
			results = append(results, work.Result{Kind: it.kind, Token: it.token, Activity: &activities[i]})
			out.add(it, &results[len(results)-1])
		}
	}
	d.pump(&fs, &out)
	d.mu.Unlock()
	out.deliver()
}

// finish removes an answered item and frees its place; nil when the answer is of
// the wrong kind.
func (d *Dispatcher) finish(id uint64, kind Kind) *item {
	it := d.items[id]
	if it == nil || it.kind != kind || it.app == nil {
		return nil
	}
	d.lanes[kind].running--
	d.drop(it)
	return it
}

func (d *Dispatcher) drop(it *item) {
	delete(d.items, it.id)
	// A token that came twice names the later item.
	if it.kind == Activity && d.byToken[it.token] == it {
		delete(d.byToken, it.token)
	}
}

// Returned takes back items that their app never got (supervisor.Handler): they
// are routed again.
func (d *Dispatcher) Returned(works []uint64) {
	var (
		out deliveries
		fs  frames
	)
	d.mu.Lock()
	for _, id := range works {
		it := d.items[id]
		if it == nil || it.app == nil {
			continue
		}
		d.lanes[it.kind].running--
		d.place(it, &out)
	}
	d.pump(&fs, &out)
	d.mu.Unlock()
	out.deliver()
}

// Lost takes items whose app ended (supervisor.Handler): they are answered as
// abandoned, because only the engine may hand out a second attempt.
func (d *Dispatcher) Lost(works []uint64, died bool) {
	var (
		out deliveries
		fs  frames
	)
	d.mu.Lock()
	for _, id := range works {
		it := d.items[id]
		if it == nil || it.app == nil {
			continue
		}
		d.lanes[it.kind].running--
		d.abandon(it, died, &out)
	}
	d.pump(&fs, &out)
	d.mu.Unlock()
	out.deliver()
}

// abandon answers an item that no app has any more.
func (d *Dispatcher) abandon(it *item, died bool, out *deliveries) {
	d.drop(it)
	o := work.Abandoned
	if died {
		o = work.Died
	}
	out.add(it, &work.Result{Kind: it.kind, Token: it.token, Outcome: o})
}

// fail answers an item that no app has with a failure.
func (d *Dispatcher) fail(it *item, why *history.TaskFailureDetails, out *deliveries) {
	d.drop(it)
	if it.kind == Orchestrator {
		out.add(it, work.EpisodeDone(it.token, work.EpisodeResult{Failed: why}))
	} else {
		out.add(it, work.ActivityDone(it.token, work.ActivityResult{Failure: why}))
	}
}
