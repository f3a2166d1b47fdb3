package taskhub

import (
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// The hub is the postman of its partitions, to their neighbours here and on other hosts.
// What it cannot deliver is lost: the sender sends again.
var _ partition.MessageSender = (*Hub)(nil)

// Send implements partition.MessageSender.
func (h *Hub) Send(src int, s core.Send) {
	if p := h.local(s.Dst); p != nil {
		p.Receive(src, s)
		return
	}
	h.post(s.Dst, &transport.Post{Hub: h.id, What: &transport.Post_Messages{Messages: &transport.Messages{
		Src: uint32(src), Dst: uint32(s.Dst), First: s.First, Messages: s.Messages,
	}}})
}

// Ack implements partition.MessageSender.
func (h *Hub) Ack(dst int, a core.Ack) {
	if p := h.local(a.Src); p != nil {
		p.Acked(dst, a.UpTo)
		return
	}
	h.post(a.Src, &transport.Post{Hub: h.id, What: &transport.Post_Receipt{Receipt: &transport.Receipt{
		Src: uint32(a.Src), Dst: uint32(dst), UpTo: a.UpTo,
	}}})
}

// local is partition n if this host serves it.
func (h *Hub) local(n int) *partition.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n >= len(h.parts) {
		return nil
	}
	return h.parts[n].part
}

// post sends to the owner of partition n, if that is another host.
func (h *Hub) post(n int, p *transport.Post) {
	if h.net == nil {
		return
	}
	if s := h.share(n); s.address != "" && !s.free {
		h.net.Peer(s.address).Post(p)
	}
}

// resendTo asks every partition to send to n again what n's former owner did not
// acknowledge.
func (h *Hub) resendTo(n int) {
	for _, p := range h.serving() {
		p.Resend(n)
	}
}
