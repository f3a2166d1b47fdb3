package taskhub

import (
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/ownership"
	"github.com/durafunc/durafunc/taskhub/work"
)

// PartitionState is what this host does with a partition.
type PartitionState = cluster.State

// The states that users of a hub ask for.
const (
	Serving = cluster.Serving
	Waiting = cluster.Waiting
	Parked  = cluster.Parked
	Dormant = cluster.Dormant
)

// ErrStopped is why everything ends when the hub is stopped.
var ErrStopped = ownership.ErrStopped

// PartitionInfo is one row of Hub.Info.
type PartitionInfo struct {
	Partition int
	State     PartitionState
	Epoch     uint64
	Owner     string // session that owns it; empty: nobody, or not known
	Address   string // of the owner, if it is another host
	Detail    string // what it waits for, or the corrupt object
}

// Info lists what this host does with each partition.
func (h *Hub) Info() []PartitionInfo {
	info := make([]PartitionInfo, h.ranges.Len())
	for n := range info {
		o := h.owners.Owner(n)
		info[n] = PartitionInfo{Partition: n, State: o.State, Epoch: o.Epoch, Owner: o.Owner, Address: o.Address, Detail: o.Detail}
		if o.Released {
			info[n].Owner = ""
		}
	}
	return info
}

// Partitions is the number of partitions that the hub was created with.
func (h *Hub) Partitions() int { return h.ranges.Len() }

// Session is the id of the session under which this host takes part at the moment.
func (h *Hub) Session() string { return h.owners.Session() }

// Address is where the other hosts of the hub reach this one; "" without a network.
func (h *Hub) Address() string { return h.opts.About.Address }

// Dormant reports whether the hub hibernates as far as this host knows. It wakes by itself.
func (h *Hub) Dormant() bool { return h.owners.Dormant() }

// Elsewhere lists the functions that the other hosts of the hub have, as far as they are
// alive or hibernate, each once, sorted by kind and name.
func (h *Hub) Elsewhere() []work.Function { return h.places.Elsewhere() }

// Late counts the answers of work items for which nobody waited any more, since the hub
// was opened: the item had been cancelled or given to somebody else, its partition had
// moved, or the answer came twice. They are dropped.
func (h *Hub) Late() uint64 { return h.places.Late().Load() }
