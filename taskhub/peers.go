package taskhub

import (
	"context"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// peers is the hub as other hosts see it.
type peers struct{ h *Hub }

var _ transport.Handler = peers{}

// Call implements transport.Handler.
func (p peers) Call(ctx context.Context, r *transport.Request) *transport.Response {
	switch {
	case r.Hub != p.h.id:
		return &transport.Response{Code: transport.Code_INVALID_ARGUMENT, Text: "this host is of another task hub"}
	case r.GetMove() != nil:
		return p.h.owners.Grant(ctx, r.GetMove())
	case r.GetCheck() != nil, r.GetRoll() != nil:
		return p.h.places.Answer(r)
	}
	return p.h.router.Answer(ctx, r)
}

// Post implements transport.Handler.
func (p peers) Post(post *transport.Post) {
	h := p.h
	if post.Hub != h.id {
		return
	}
	switch w := post.What.(type) {
	case *transport.Post_Hello:
		changed := h.places.Heartbeat(w.Hello)
		h.owners.Heartbeat(w.Hello)
		if changed {
			h.places.Rebalance()
		}
	case *transport.Post_Messages:
		h.router.Messages(w.Messages)
	case *transport.Post_Receipt:
		h.router.Receipt(w.Receipt)
	case *transport.Post_Work:
		h.places.Work(w.Work)
	case *transport.Post_Done:
		h.places.Done(w.Done)
	case *transport.Post_Taken:
		h.places.Taken(w.Taken)
	}
}

// Lost implements transport.Handler.
func (p peers) Lost(address string) { p.h.owners.Disconnected(address) }
