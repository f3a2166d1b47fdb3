package ownership

import (
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
)

// Owner is who serves a partition as far as this host knows. It may be out of date: it
// leads to whom to ask, and decides nothing that the root does not confirm.
type Owner struct {
	cluster.Partition
	// Local is the partition if this host serves it, or has until a moment ago.
	Local *partition.Partition
	// Mine: this host serves the partition or is claiming it.
	Mine bool
	// Changed fires when another Owner holds.
	Changed sched.Signal
}

// Serving reports whether this host serves the partition. It is false for one that has just
// stopped: who serves next is not known yet.
func (o *Owner) Serving() bool { return o.Local != nil && !o.Local.Done().Fired() }
