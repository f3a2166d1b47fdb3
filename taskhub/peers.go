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
	case r.GetPoll() != nil, r.GetInFlight() != nil:
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
	case *transport.Post_Heartbeat:
		changed := h.places.Heartbeat(w.Heartbeat)
		h.owners.Heartbeat(w.Heartbeat)
		if changed {
			h.places.Rebalance()
		}
	case *transport.Post_Messages:
		h.router.Messages(w.Messages)
	case *transport.Post_MessagesAck:
		h.router.MessagesAck(w.MessagesAck)
	case *transport.Post_Work:
		h.places.Work(w.Work)
	case *transport.Post_Results:
		h.places.Results(w.Results)
	case *transport.Post_ResultsAck:
		h.places.ResultsAck(w.ResultsAck)
	}
}

// Disconnected implements transport.Handler.
func (p peers) Disconnected(address string) { p.h.owners.Disconnected(address) }
