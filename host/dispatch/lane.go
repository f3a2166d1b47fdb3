package dispatch

import (
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/protocol/fifo"
	"github.com/durafunc/durafunc/taskhub/history"
)

// maxItem is the largest item in bytes that fits a frame. A larger one would break
// the stream, and with it everything that the app runs.
const maxItem = protocol.MaxMessage - 1<<20

// lane is the items of one kind: a limit on how many run, and those whose
// function is there but which have to wait for a free place.
type lane struct {
	limit   int // 0: none
	running int
	queue   fifo.Queue[*item] // answered ones are skipped
	dead    int               // how many of them there are
}

func (l *lane) free() bool { return l.limit <= 0 || l.running < l.limit }

// bury notes that a queued item is answered. Callers that give up while a function hangs
// must not leave their payloads behind for as long as it does.
func (d *Dispatcher) bury(l *lane) {
	if l.dead++; l.dead <= l.queue.Len()/2 {
		return
	}
	l.queue.Filter(func(it *item) bool { return d.items[it.id] == it })
	l.dead = 0
}

// place queues an item, or parks it when its function is not there.
func (d *Dispatcher) place(it *item, out *deliveries) {
	it.app = nil
	switch {
	case d.stopped || it.cancelled:
		d.abandon(it, out)
	case it.size > maxItem:
		d.refuse(it, tooLarge(it), out)
	case d.routes.find(it.kind, it.name).available():
		d.lanes[it.kind].queue.Push(it)
	default:
		d.park(it, out)
	}
}

// pump moves queued items to their apps while there are free places, and sends
// the frames.
func (d *Dispatcher) pump(fs *frames, out *deliveries) {
	for {
		for k := range d.lanes {
			d.fill(&d.lanes[k], fs, out)
		}
		if len(*fs) == 0 {
			return
		}
		for _, f := range *fs {
			if !f.app.Send(f.frame) {
				d.unsend(f.frame, out)
			}
		}
		*fs = nil // places may have become free again
	}
}

func (d *Dispatcher) fill(l *lane, fs *frames, out *deliveries) {
	for l.free() {
		it, ok := l.queue.Pop()
		if !ok {
			return
		}
		if d.items[it.id] != it {
			l.dead-- // cancelled while it was queued
			continue
		}
		r := d.routes.find(it.kind, it.name)
		if !r.available() {
			d.park(it, out)
			continue
		}
		l.running++
		it.app = r.Handle
		fs.of(r.Handle).Add(it.work)
	}
}

// unsend takes back what an app refused: it is ending, and SetFunctions is about
// to say what comes after it. Its cancels and evictions are void with it.
func (d *Dispatcher) unsend(f *protocol.HostFrame, out *deliveries) {
	for w := range f.Items() {
		if it := d.items[w.GetWork()]; d.withdraw(it) {
			d.parkRefused(it, out)
		}
	}
}

// frames gathers what is to be sent, one frame an app.
type frames []appFrame

type appFrame struct {
	app   App
	frame *protocol.HostFrame
}

func (fs *frames) of(app App) *protocol.HostFrame {
	for _, f := range *fs { // a handful of apps: faster than a map
		if f.app == app {
			return f.frame
		}
	}
	f := appFrame{app, &protocol.HostFrame{}}
	*fs = append(*fs, f)
	return f.frame
}

func tooLarge(it *item) refusal {
	return refusal{ErrTooLarge, &history.TaskFailureDetails{
		ErrorType: "WorkItemTooLarge",
		ErrorMessage: it.kind.String() + " " + it.name + ": its work item exceeds the message limit of a function app; " +
			"pass large data by reference, or continue as new earlier",
		IsNonRetriable: true,
	}}
}
