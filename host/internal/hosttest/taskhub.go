package hosttest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// TaskHub asks a host once what it does with the partitions of the hub.
func (c Client) TaskHub(ctx context.Context) (*client.TaskHubStatus, error) {
	status, err := c.api().HostStatus(ctx)
	if err != nil {
		return nil, err
	}
	if status.TaskHub == nil {
		return nil, errors.New("the host's status has no taskHub")
	}
	return status.TaskHub, nil
}

// Spread says who serves which partition, as several hosts agree on it.
type Spread struct {
	Sessions []string // by host
	Owners   []int    // by partition: the host's place among those that were asked
	Epochs   []uint64 // by partition
}

// Has counts the partitions of a host.
func (s *Spread) Has(host int) int {
	n := 0
	for _, owner := range s.Owners {
		if owner == host {
			n++
		}
	}
	return n
}

// Even reports whether no host has two partitions more than another.
func (s *Spread) Even() bool {
	least, most := len(s.Owners), 0
	for host := range s.Sessions {
		least, most = min(least, s.Has(host)), max(most, s.Has(host))
	}
	return most-least <= 1
}

// Moves counts how often partitions have changed hands between then and s.
func (s *Spread) Moves(then *Spread) int {
	n := 0
	for p, epoch := range s.Epochs {
		n += int(epoch - then.Epochs[p])
	}
	return n
}

// AskSpread asks all hosts who serves what. It is an error if one does not answer, if a
// partition is served by none of them, or by two, or if they do not agree on it.
func AskSpread(ctx context.Context, hosts ...*Host) (*Spread, error) {
	views := make([]*client.TaskHubStatus, len(hosts))
	s := &Spread{}
	for i, h := range hosts {
		var err error
		if views[i], err = h.TaskHub(ctx); err != nil {
			return nil, err
		}
		s.Sessions = append(s.Sessions, views[i].Session)
	}
	for n := range views[0].Partitions {
		owner := -1
		for i, v := range views {
			p := v.Partitions[n]
			switch {
			case p.State == "serving" && owner >= 0:
				return nil, fmt.Errorf("partition %d is served by hosts %d and %d", n, hosts[owner].PID(), hosts[i].PID())
			case p.State == "serving":
				owner = i
			}
		}
		if owner < 0 {
			return nil, fmt.Errorf("partition %d is served by nobody", n)
		}
		held := views[owner].Partitions[n]
		for i, v := range views {
			if p := v.Partitions[n]; p.Owner != s.Sessions[owner] || p.Epoch != held.Epoch || i != owner && p.State != "elsewhere" {
				return nil, fmt.Errorf("host %d says %+v, and its owner %+v", hosts[i].PID(), p, held)
			}
		}
		s.Owners, s.Epochs = append(s.Owners, owner), append(s.Epochs, held.Epoch)
	}
	return s, nil
}

// UntilSpread waits until all partitions are served by the hosts, evenly, and all of them
// know by whom.
func UntilSpread(t testing.TB, hosts ...*Host) *Spread {
	t.Helper()
	var s *Spread
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("last seen: %+v, %v", s, err)
		}
	}()
	Until(t, "the partitions are spread over the hosts", func() bool {
		s, err = AskSpread(t.Context(), hosts...)
		return err == nil && s.Even()
	})
	return s
}
