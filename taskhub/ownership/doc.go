// Package ownership owns partitions: it holds the host's session, claims and serves the
// partitions that package cluster plans to, observes owners that are silent, hands partitions
// over, and lets the hub hibernate when it has nothing to do.
//
// Locks: Manager.mu guards the View and the slots. No call leaves the package under it, but
// for logging, signals and reading how idle a partition is. Owner takes no lock.
//
// It may import cluster, layout, partition, checkpoint, lease, storage, sched and transport.
package ownership
