package taskhub

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/transport"
)

var _ Client = (*Hub)(nil)

// Start implements Client.
func (h *Hub) Start(ctx context.Context, r StartRequest) (StartResult, error) {
	rid, err := requestID(ctx)
	if err != nil {
		return StartResult{}, err
	}
	var random [16]byte
	h.opts.Sched.Random(random[:])
	switch {
	case r.ID == "" && rid != "":
		r.ID = core.InstanceOfRequest(rid)
	case r.ID == "":
		r.ID = hex.EncodeToString(random[:])
		h.opts.Sched.Random(random[:])
	}
	if err := core.CheckInstanceID(r.ID); err != nil {
		return StartResult{}, err
	}
	if r.Name == "" {
		return StartResult{}, fmt.Errorf("%w: no orchestrator is named", ErrInvalidArgument)
	}
	if err := h.checkPayload("input", r.Input); err != nil {
		return StartResult{}, err
	}
	a, err := h.router.Ask(ctx, h.ranges.Of(r.ID), &transport.Request{RequestId: rid, Op: &transport.Request_Start{Start: &transport.Start{
		Instance: r.ID, Name: r.Name, Version: r.Version, Input: r.Input, Execution: hex.EncodeToString(random[:]),
		StartAt: nanos(r.StartAt), Tags: r.Tags,
	}}})
	if err != nil {
		return StartResult{ID: r.ID}, err
	}
	return StartResult{ID: r.ID, Replaced: a.Replaced}, nil
}

// checkPayload refuses what could not be stored or is no JSON.
func (h *Hub) checkPayload(what string, payload *string) error {
	switch {
	case payload == nil:
		return nil
	case len(*payload) > h.opts.MaxPayload:
		return fmt.Errorf("%s: %w: %d bytes, maxPayloadBytes is %d", what, ErrPayloadTooLarge, len(*payload), h.opts.MaxPayload)
	case !json.Valid([]byte(*payload)):
		return fmt.Errorf("%w: %s is not JSON", ErrInvalidArgument, what)
	}
	return nil
}

// Wait implements Client. It outlives the partition's move to another host.
func (h *Hub) Wait(ctx context.Context, id string, opt GetOptions) (*Instance, error) {
	for {
		_, err := h.router.Ask(ctx, h.ranges.Of(id), &transport.Request{Op: &transport.Request_Wait{Wait: id}})
		switch {
		case err == nil:
			return h.Get(ctx, id, opt)
		case ctx.Err() != nil || !errors.Is(err, ErrUnavailable) || h.owners.Stopping():
			return nil, err
		}
	}
}

// RaiseEvent implements Client.
func (h *Hub) RaiseEvent(ctx context.Context, id, name string, data *string) error {
	if name == "" {
		return fmt.Errorf("%w: the event has no name", ErrInvalidArgument)
	}
	if err := h.checkPayload("event data", data); err != nil {
		return err
	}
	return h.change(ctx, id, &transport.Request{Op: &transport.Request_RaiseEvent{
		RaiseEvent: &transport.RaiseEvent{Instance: id, Name: name, Data: data},
	}})
}

// Terminate implements Client.
func (h *Hub) Terminate(ctx context.Context, id, reason string, recursive bool) error {
	return h.change(ctx, id, &transport.Request{Op: &transport.Request_Terminate{
		Terminate: &transport.Terminate{Instance: id, Reason: reason, Recursive: recursive},
	}})
}

// Suspend implements Client.
func (h *Hub) Suspend(ctx context.Context, id, reason string) error {
	return h.change(ctx, id, &transport.Request{Op: &transport.Request_Suspend{Suspend: &transport.Note{Instance: id, Reason: reason}}})
}

// Resume implements Client.
func (h *Hub) Resume(ctx context.Context, id, reason string) error {
	return h.change(ctx, id, &transport.Request{Op: &transport.Request_Resume{Resume: &transport.Note{Instance: id, Reason: reason}}})
}

// Purge implements Client.
func (h *Hub) Purge(ctx context.Context, id string) error {
	return h.change(ctx, id, &transport.Request{Op: &transport.Request_Purge{Purge: id}})
}

// change asks for something that changes one instance.
func (h *Hub) change(ctx context.Context, id string, r *transport.Request) error {
	rid, err := requestID(ctx)
	if err != nil {
		return err
	}
	r.RequestId = rid
	_, err = h.router.Ask(ctx, h.ranges.Of(id), r)
	return err
}
