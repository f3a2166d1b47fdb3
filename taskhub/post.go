package taskhub

import (
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/partition"
)

// The hub is the postman of its partitions as long as all of them are in this process.
// What it cannot deliver is lost: the sender sends again.
var _ partition.Postman = (*Hub)(nil)

// Send implements partition.Postman.
func (h *Hub) Send(src int, s core.Send) {
	if p := h.local(s.Dst); p != nil {
		p.Receive(src, s)
	}
}

// Ack implements partition.Postman.
func (h *Hub) Ack(dst int, a core.Ack) {
	if p := h.local(a.Src); p != nil {
		p.Acked(dst, a.UpTo)
	}
}

func (h *Hub) local(n int) *partition.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[n].part
}

// resendTo asks every partition to send to n again what n's former owner did not
// acknowledge.
func (h *Hub) resendTo(n int) {
	for _, p := range h.serving() {
		p.Resend(n)
	}
}

func reconsider(c *core.Core, now int64) { c.Reconsider(now) }
