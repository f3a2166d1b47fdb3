package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Options say which hub to look into.
type Options struct {
	// Name is the hub's name, for error messages; Store is rooted at the hub's prefix.
	Name  string
	Store storage.Store
	// Register keeps sessions and roots; nil: Store does. Leases says in words where that
	// is, as for taskhub.Options.
	Register lease.Register
	Leases   string
}

// Inspector looks into a hub's bucket without taking part in the hub: it writes nothing.
type Inspector struct {
	store    storage.Store
	register lease.Register
	man      *layout.Manifest
}

// Open reads the hub's manifest. Errors are layout.ErrNoHub, layout.ErrFormat,
// layout.ErrLeases, a *checked.CorruptError and the store's.
func Open(ctx context.Context, opts Options) (*Inspector, error) {
	m, err := layout.Read(ctx, opts.Store, opts.Leases)
	if err != nil {
		return nil, fmt.Errorf("task hub %q: %w", opts.Name, err)
	}
	i := &Inspector{store: opts.Store, register: opts.Register, man: m}
	if i.register == nil {
		i.register = i.store
	}
	return i, nil
}

// Status is what the bucket says of a hub.
type Status struct {
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
	// Renewed is when the session was last written, by the store's clock; zero when the
	// register does not tell.
	Renewed time.Time `json:"renewed"`
	// Problem says why the session cannot be read; nothing but ID and Renewed is known then.
	Problem string `json:"problem,omitempty"`
}

// Partitions is how many partitions the hub has.
func (i *Inspector) Partitions() int { return len(i.man.Starts) }

// Status reads sessions, roots and the extent of the logs.
func (i *Inspector) Status(ctx context.Context) (*Status, error) {
	s := &Status{Name: i.man.Name, ID: i.man.ID, Created: i.man.Created}
	for n := range i.man.Starts {
		p, err := i.bucket(n).Status(ctx)
		if err != nil {
			return nil, err
		}
		s.Partitions = append(s.Partitions, p)
	}
	var err error
	if s.Sessions, err = i.sessions(ctx, s.Partitions); err != nil {
		return nil, err
	}
	return s, nil
}

// sessions reads the sessions that there are, or those that own a partition when they
// stand in a table, which is not listed.
func (i *Inspector) sessions(ctx context.Context, parts []*partition.Status) ([]SessionStatus, error) {
	renewed := map[string]time.Time{}
	var ids []string
	if i.register == lease.Register(i.store) {
		for e, err := range i.store.List(ctx, layout.SessionPrefix, "") {
			if err != nil {
				return nil, err
			}
			id := strings.TrimPrefix(e.Key, layout.SessionPrefix)
			ids, renewed[id] = append(ids, id), e.Modified
		}
	} else {
		for _, p := range parts {
			if p.Owner != "" && !slices.Contains(ids, p.Owner) {
				ids = append(ids, p.Owner)
			}
		}
	}
	sessions := []SessionStatus{}
	for _, id := range ids {
		b, _, err := i.register.Get(ctx, layout.SessionPrefix+id)
		if errors.Is(err, storage.ErrNotFound) {
			continue // swept meanwhile
		}
		if err != nil {
			return nil, err
		}
		s := SessionStatus{ID: id, Renewed: renewed[id]}
		if r, err := lease.Decode(layout.SessionPrefix+id, b); err != nil {
			s.State, s.Problem = "unreadable", err.Error()
		} else {
			s.State, s.Host, s.PID, s.Started = r.State, r.Host, r.PID, r.Started
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// VerifySessions reads the sessions and reports those that cannot be read. hub.json was
// checked when the hub was opened, and the partitions have Verify.
func (i *Inspector) VerifySessions(ctx context.Context) (problems []string, err error) {
	s, err := i.Status(ctx)
	if err != nil {
		return nil, err
	}
	problems = []string{}
	for _, x := range s.Sessions {
		if x.Problem != "" {
			problems = append(problems, x.Problem)
		}
	}
	return problems, nil
}

// Verify reads partition n as a recovery would and reports what is wrong with it. opener
// makes the scratch copy of its state.
func (i *Inspector) Verify(ctx context.Context, n int, opener checkpoint.Opener) (*partition.Report, error) {
	return i.bucket(n).Verify(ctx, opener)
}

func (i *Inspector) bucket(n int) partition.Bucket {
	return partition.Bucket{Hub: i.man.ID, N: n, Prefix: layout.PartitionPrefix, Store: i.store, Register: i.register, Sched: sched.Real()}
}
