package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// order drives one instance of samples/provisioning as a client would that never gives
// up: it starts it, plays its devices, and checks what it sees on the way and the end.
type order struct {
	hosts   hosttest.Client
	id      string
	devices int

	sightings map[string]*sighting // by instance id
	acked     map[string]bool      // devices' instances whose event was acknowledged
}

func newOrder(c hosttest.Client, n, devices int) *order {
	return &order{
		hosts: c, id: fmt.Sprintf("order-%03d", n), devices: devices,
		sightings: map[string]*sighting{}, acked: map[string]bool{},
	}
}

// lookEvery is the pause between two looks at an order: with hundreds of orders at work
// more would only test the HTTP server.
const lookEvery = 100 * time.Millisecond

// run returns nil when the order has ended as it should.
func (o *order) run(ctx context.Context) error {
	if err := o.start(ctx); err != nil {
		return err
	}
	for {
		s, err := o.look(ctx, o.id)
		if err != nil {
			return err
		}
		children, err := o.children(ctx)
		if err != nil {
			return err
		}
		for _, child := range children {
			if err := o.playDevice(ctx, child); err != nil {
				return err
			}
		}
		if s.Status.Terminal() {
			return o.check(s)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still %s: %w", o.id, s.Status, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// start is sent again as long as its outcome is not known; then the instance may exist.
func (o *order) start(ctx context.Context) error {
	path := client.StartPath("ProvisionNewDevices", o.id)
	a, unclear, err := o.hosts.Persist(ctx, http.MethodPost, path, map[string]int{"devices": o.devices})
	switch {
	case err != nil:
		return err
	case a.Code == http.StatusAccepted, a.Code == http.StatusConflict && unclear:
		return nil
	}
	return fmt.Errorf("start of %s: %d %s", o.id, a.Code, a.Body)
}

// look reads an instance, all of whose history must still be what it was before.
func (o *order) look(ctx context.Context, id string) (*client.Instance, error) {
	s, err := o.hosts.Get(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return nil, fmt.Errorf("an acknowledged instance is lost: %w", err)
	}
	if err != nil {
		return nil, err
	}
	last := o.sightings[id]
	if last == nil {
		last = &sighting{}
		o.sightings[id] = last
	}
	return s, last.next(s)
}

func (o *order) children(ctx context.Context) ([]*client.Instance, error) {
	return o.hosts.List(ctx, client.Query{IDPrefix: o.id + ":"})
}

// ack is what a device says; Bytes tells devices apart.
type ack struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (o *order) ackOf(child string) ack { return ack{Bytes: len(child), SHA256: "sum of " + child} }

// playDevice looks at one child and, once its package is there, raises its event.
func (o *order) playDevice(ctx context.Context, child *client.Instance) error {
	s, err := o.look(ctx, child.ID)
	if err != nil {
		return err
	}
	if s.Status.Terminal() || o.acked[s.ID] || string(s.CustomStatus) == "null" {
		return nil
	}
	path := client.InstancePath(s.ID, "raiseEvent", "DownloadCompletedAck")
	a, unclear, err := o.hosts.Persist(ctx, http.MethodPost, path, o.ackOf(s.ID))
	switch {
	case err != nil:
		return err
	case a.Code == http.StatusAccepted, a.Code == http.StatusGone && unclear:
		// From here on the instance must end: an event that were lost would leave it
		// waiting for three days.
		o.acked[s.ID] = true
		return nil
	}
	return fmt.Errorf("event for %s: %d %s", s.ID, a.Code, a.Body)
}

// report is the output of ProvisionNewDevices.
type report struct {
	Devices  int `json:"devices"`
	Receipts []struct {
		Device      string `json:"device"`
		Provisioned bool   `json:"provisioned"`
		Ack         ack    `json:"ack"`
	} `json:"receipts"`
}

// check compares the report with what the devices said.
func (o *order) check(s *client.Instance) error {
	var r report
	if err := json.Unmarshal(s.Output, &r); err != nil || s.Status != client.StatusCompleted {
		return fmt.Errorf("%s ended as %s: %s", o.id, s.Status, s.Output)
	}
	if r.Devices != o.devices || len(r.Receipts) != o.devices || len(o.acked) != o.devices {
		return fmt.Errorf("%s: %d devices of %d said yes: %s", o.id, len(o.acked), o.devices, s.Output)
	}
	for n, receipt := range r.Receipts {
		if want := fmt.Sprintf("device-%03d", n+1); receipt.Device != want || !receipt.Provisioned {
			return fmt.Errorf("%s: receipt %d is %+v, want that of %s", o.id, n, receipt, want)
		}
		said := false
		for child := range o.acked {
			said = said || o.ackOf(child) == receipt.Ack
		}
		if !said {
			return fmt.Errorf("%s: nobody said %+v", o.id, receipt.Ack)
		}
	}
	return nil
}
