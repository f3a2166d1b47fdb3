package dispatch

import (
	"github.com/durafunc/durafunc/plugins/protocol"
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
	queue   []*item // from head on; answered ones are skipped
	head    int
}

func (l *lane) free() bool { return l.limit <= 0 || l.running < l.limit }

func (l *lane) push(it *item) { l.queue = append(l.queue, it) }

func (l *lane) pop() *item {
	if l.head == len(l.queue) {
		return nil
	}
	it := l.queue[l.head]
	l.queue[l.head] = nil
	l.head++
	switch {
	case l.head == len(l.queue):
		l.queue, l.head = l.queue[:0], 0
	case l.head > 1024 && l.head > len(l.queue)/2:
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	return it
}

// place queues an item, or parks it when its function is not there.
func (d *Dispatcher) place(it *item, out *deliveries) {
	it.app = nil
	switch {
	case d.stopped || it.cancelled:
		d.abandon(it, false, out)
	case it.size > maxItem:
		d.fail(it, tooLarge(it), out)
	case d.routes.find(it.kind, it.name).available():
		d.lanes[it.kind].push(it)
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
		it := l.pop()
		if it == nil {
			return
		}
		if d.items[it.id] != it {
			continue // cancelled while it was queued
		}
		r := d.routes.find(it.kind, it.name)
		if !r.available() {
			d.park(it, out)
			continue
		}
		l.running++
		it.app = r.Handle
		f := fs.of(r.Handle)
		if it.kind == Orchestrator {
			f.Orchestrators = append(f.Orchestrators, it.episode)
		} else {
			f.Activities = append(f.Activities, it.activity)
		}
	}
}

// unsend takes back what an app refused: it is ending, and SetFunctions is about
// to say what comes after it. Its cancels and evictions are void with it.
func (d *Dispatcher) unsend(f *protocol.HostFrame, out *deliveries) {
	back := func(id uint64) {
		if it := d.items[id]; it != nil {
			d.lanes[it.kind].running--
			it.app = nil
			d.parkRefused(it, out)
		}
	}
	for _, w := range f.Orchestrators {
		back(w.Work)
	}
	for _, w := range f.Activities {
		back(w.Work)
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

func tooLarge(it *item) *history.TaskFailureDetails {
	return &history.TaskFailureDetails{
		ErrorType: "WorkItemTooLarge",
		ErrorMessage: it.kind.String() + " " + it.name + ": its work item exceeds the message limit of a function app; " +
			"pass large data by reference, or continue as new earlier",
		IsNonRetriable: true,
	}
}
