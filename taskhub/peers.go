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
	h := p.h
	switch {
	case r.Hub != h.id:
		return &transport.Response{Code: transport.Code_INVALID_ARGUMENT, Text: "this host is of another task hub"}
	case r.GetMove() != nil:
		return h.give(ctx, r.GetMove())
	case r.GetCheck() != nil:
		return h.runner.check(r.GetCheck())
	case r.GetRoll() != nil:
		return h.roll(r.GetRoll())
	}
	return h.router.Answer(ctx, r)
}

// Post implements transport.Handler.
func (p peers) Post(post *transport.Post) {
	h := p.h
	if post.Hub != h.id {
		return
	}
	switch w := post.What.(type) {
	case *transport.Post_Hello:
		h.heard(w.Hello)
	case *transport.Post_Messages:
		h.router.Messages(w.Messages)
	case *transport.Post_Receipt:
		h.router.Receipt(w.Receipt)
	case *transport.Post_Work:
		h.runner.work(w.Work)
	case *transport.Post_Done:
		h.done(w.Done)
	case *transport.Post_Taken:
		h.taken(w.Taken)
	}
}

// Lost implements transport.Handler.
func (p peers) Lost(address string) { p.h.lost(address) }
