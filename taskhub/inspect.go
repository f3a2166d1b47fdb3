package taskhub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// ErrNoHub means that there is no task hub under the prefix.
var ErrNoHub = errors.New("no task hub there")

// Inspector looks into a hub's bucket without taking part in the hub: it writes nothing.
type Inspector struct {
	store storage.Store
	man   *manifest
}

// Inspect opens the hub of that name in store, which is rooted at the hub's prefix.
func Inspect(ctx context.Context, store storage.Store, name string) (*Inspector, error) {
	b, _, err := store.Get(ctx, manifestKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("task hub %q: %w", name, ErrNoHub)
	}
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", name, err)
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", name, err)
	}
	return &Inspector{store: store, man: m}, nil
}

// HubStatus is what the bucket says of a hub at a glance.
type HubStatus struct {
	Name       string              `json:"name"`
	ID         string              `json:"id"`
	Created    time.Time           `json:"created"`
	Sessions   []SessionStatus     `json:"sessions"`
	Partitions []*partition.Status `json:"partitions"`
}

// SessionStatus is one host process that took part in the hub.
type SessionStatus struct {
	ID      string      `json:"id"`
	State   lease.State `json:"state"`
	Host    string      `json:"host"`
	PID     int         `json:"pid"`
	Started time.Time   `json:"started"`
	// Renewed is when the session was last written, by the store's clock.
	Renewed time.Time `json:"renewed"`
}

// Partitions is how many partitions the hub has.
func (i *Inspector) Partitions() int { return len(i.man.Starts) }

// Status reads sessions, roots and the extent of the logs.
func (i *Inspector) Status(ctx context.Context) (*HubStatus, error) {
	s := &HubStatus{Name: i.man.Name, ID: i.man.ID, Created: i.man.Created, Sessions: []SessionStatus{}}
	for e, err := range i.store.List(ctx, sessionPrefix, "") {
		if err != nil {
			return nil, err
		}
		b, _, err := i.store.Get(ctx, e.Key)
		if errors.Is(err, storage.ErrNotFound) {
			continue // swept meanwhile
		}
		if err != nil {
			return nil, err
		}
		r, err := lease.Decode(e.Key, b)
		if err != nil {
			return nil, err
		}
		s.Sessions = append(s.Sessions, SessionStatus{
			ID: strings.TrimPrefix(e.Key, sessionPrefix), State: r.State, Host: r.Host, PID: r.PID, Started: r.Started, Renewed: e.Modified,
		})
	}
	for n := range i.man.Starts {
		p, err := partition.ReadStatus(ctx, i.config(n, nil))
		if err != nil {
			return nil, err
		}
		s.Partitions = append(s.Partitions, p)
	}
	return s, nil
}

// Verify reads partition n as a recovery would and reports what is wrong with it. opener
// makes the scratch copy of its state.
func (i *Inspector) Verify(ctx context.Context, n int, opener checkpoint.Opener) (*partition.Report, error) {
	return partition.Verify(ctx, i.config(n, opener))
}

func (i *Inspector) config(n int, opener checkpoint.Opener) partition.Config {
	return partition.Config{
		Hub: i.man.ID, Partition: n, Partitions: len(i.man.Starts), Prefix: partitionPrefix(n), PrefixOf: partitionPrefix,
		Store: i.store, Register: i.store, Sched: sched.Real(), Opener: opener, Log: hclog.NewNullLogger(),
	}
}
