package routing

import (
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// The router carries the messages of partitions to others, of this host and of other
// hosts. What it cannot deliver is lost: the sender sends again.
var _ partition.MessageSender = (*Router)(nil)

// Send implements partition.MessageSender.
func (r *Router) Send(src int, s core.Send) {
	if p := r.local(s.Dst); p != nil {
		p.Receive(src, s)
		return
	}
	r.post(s.Dst, &transport.Post{Hub: r.cfg.Hub, What: &transport.Post_Messages{Messages: &transport.Messages{
		Src: uint32(src), Dst: uint32(s.Dst), First: s.First, Messages: s.Messages,
	}}})
}

// Ack implements partition.MessageSender.
func (r *Router) Ack(dst int, a core.Ack) {
	if p := r.local(a.Src); p != nil {
		p.Acked(dst, a.UpTo)
		return
	}
	r.post(a.Src, &transport.Post{Hub: r.cfg.Hub, What: &transport.Post_MessagesAck{MessagesAck: &transport.MessagesAck{
		Src: uint32(a.Src), Dst: uint32(dst), UpTo: a.UpTo,
	}}})
}

// Messages takes messages that another host sends to a partition of this one.
func (r *Router) Messages(m *transport.Messages) {
	if to := r.local(int(m.Dst)); to != nil && int(m.Src) < r.cfg.Partitions {
		to.Receive(int(m.Src), core.Send{Dst: int(m.Dst), First: m.First, Messages: m.Messages})
	}
}

// MessagesAck takes another host's word of which messages of a partition of this one it has
// taken in.
func (r *Router) MessagesAck(a *transport.MessagesAck) {
	if to := r.local(int(a.Src)); to != nil && int(a.Dst) < r.cfg.Partitions {
		to.Acked(int(a.Dst), a.UpTo)
	}
}

// local is partition n if this host serves it.
func (r *Router) local(n int) *partition.Partition {
	if n >= r.cfg.Partitions {
		return nil
	}
	o := r.cfg.Owners.Owner(n)
	return o.Local
}

// post sends to the owner of partition n, if that is another host.
func (r *Router) post(n int, p *transport.Post) {
	if r.cfg.Network == nil {
		return
	}
	if o := r.cfg.Owners.Owner(n); o.Address != "" {
		r.cfg.Network.Peer(o.Address).Post(p)
	}
}
