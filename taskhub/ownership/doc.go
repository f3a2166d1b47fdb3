// Package ownership owns partitions: it holds the host's session, claims and serves the
// partitions that package cluster plans to, observes owners that are silent, hands partitions
// over, and lets the hub hibernate when it has nothing to do.
//
// Locks: Manager.mu guards the View and the slots. Under it are called the scheduler, the log,
// Config.Requests, and a partition's Idleness and Done, none of which blocks or calls back;
// never the store, another host, Open or Offer. Owner takes no lock.
//
// It may import cluster, layout, partition, checkpoint, lease, storage, sched, transport and
// hclog.
package ownership
