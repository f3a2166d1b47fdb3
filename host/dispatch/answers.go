package dispatch

import (
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// ending is how an item ends.
type ending struct {
	outcome work.Outcome
	begun   bool // an app had it, when it is not completed
	// One of the two, when it is completed:
	answer  protocol.Result // of the app
	refused *refusal
}

// refusal is why no app gets an item.
type refusal struct {
	err     error
	details *history.TaskFailureDetails // the same for the engine
}

// deliveries gathers answers for the engine: those for one partition and epoch leave in
// one call, through the callback of one of its items.
type deliveries struct {
	list []delivery
	made made
}

type delivery struct {
	partition int
	epoch     uint64
	results   func([]*work.Result)
	answers   []*work.Result
}

// add ends an item.
func (ds *deliveries) add(it *item, e ending) {
	if it.call != nil {
		it.call.end(e)
		return
	}
	room := max(1, len(ds.made.results)) // the others of a frame are mostly of one partition
	r := ds.made.result(it, e)
	for i := range ds.list { // a handful of partitions
		if d := &ds.list[i]; d.partition == r.Token.Partition && d.epoch == r.Token.Epoch {
			d.answers = append(d.answers, r)
			return
		}
	}
	ds.list = append(ds.list, delivery{
		partition: r.Token.Partition, epoch: r.Token.Epoch, results: it.asked.results,
		answers: append(make([]*work.Result, 0, room), r),
	})
}

// deliver calls the partitions. The dispatcher's lock must not be held: a
// partition may submit from inside.
func (ds *deliveries) deliver() {
	for _, d := range ds.list {
		d.results(d.answers)
	}
}

// Results takes the answers of one frame of an app (supervisor.Handler).
func (d *Dispatcher) Results(f *protocol.AppFrame) {
	results := makeFor(f)
	d.locked(func(_ *frames, out *deliveries) {
		out.made = results
		for r := range f.Results() {
			// An answer of the wrong kind is none.
			if it := d.items[r.GetWork()]; it != nil && it.kind == r.Kind() && d.withdraw(it) {
				d.drop(it)
				out.add(it, ending{answer: r})
			}
		}
	})
}

// withdraw frees the place of an item that is with an app; false: it is with none.
func (d *Dispatcher) withdraw(it *item) bool {
	if it == nil || it.app == nil {
		return false
	}
	d.lanes[it.kind].running--
	it.app = nil
	return true
}

func (d *Dispatcher) drop(it *item) {
	delete(d.items, it.id)
	// A token that came twice names the later item.
	if it.byEngine() && d.byToken[it.asked.token] == it {
		delete(d.byToken, it.asked.token)
	}
}

// Returned takes back items that their app never got (supervisor.Handler): they
// are routed again.
func (d *Dispatcher) Returned(works []uint64) { d.takeBack(works, d.place) }

// Lost takes items whose app ended (supervisor.Handler): they are answered as
// abandoned, because only the engine may hand out a second attempt.
func (d *Dispatcher) Lost(works []uint64, died bool) {
	e := ending{outcome: work.Abandoned, begun: true}
	if died {
		e.outcome = work.Died
	}
	d.takeBack(works, func(it *item, out *deliveries) {
		d.drop(it)
		out.add(it, e)
	})
}

func (d *Dispatcher) takeBack(works []uint64, then func(*item, *deliveries)) {
	d.locked(func(_ *frames, out *deliveries) {
		for _, id := range works {
			if it := d.items[id]; d.withdraw(it) {
				then(it, out)
			}
		}
	})
}

// abandon answers an item that no app has any more.
func (d *Dispatcher) abandon(it *item, out *deliveries) {
	d.drop(it)
	out.add(it, ending{outcome: work.Abandoned})
}

// refuse answers an item that no app gets.
func (d *Dispatcher) refuse(it *item, why refusal, out *deliveries) {
	d.drop(it)
	out.add(it, ending{refused: &why})
}
