package placement

import (
	"github.com/durafunc/durafunc/taskhub/transport"
)

// sendBatch is what is to be sent to other hosts, in the order in which they were chosen.
type sendBatch []send

type send struct {
	address string
	work    *transport.Work
	bytes   int
}

// maxSend is after how many bytes of work another message is begun, and maxItem the
// largest item that is sent at all.
const (
	maxSend = 1 << 20
	maxItem = transport.MaxMessage - 1<<20
)

// to is the message for a host to which more can be added.
func (o *sendBatch) to(address string) *transport.Work {
	for n := len(*o) - 1; n >= 0; n-- {
		if p := &(*o)[n]; p.address == address {
			if p.bytes < maxSend {
				return p.work
			}
			break
		}
	}
	*o = append(*o, send{address: address, work: &transport.Work{}})
	return (*o)[len(*o)-1].work
}

func (o *sendBatch) add(a *remote) {
	w := o.to(a.address)
	w.Items = append(w.Items, toItem(a.item))
	for n := range *o {
		if (*o)[n].work == w {
			(*o)[n].bytes += a.item.Size()
		}
	}
}
