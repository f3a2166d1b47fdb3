// Package placement decides which host runs a work item, and gets its result back: an
// Assigner, the executor of one opening of a partition, hands items to this host's executor
// or to another host; a worker runs those that other hosts send, and keeps their results
// until their owner has committed them (docs/decisions/0015).
//
// It treats all kinds of work alike: only wire.go looks into an item.
//
// Locks, in this order: Assigner.mu, Placement.mu or worker.mu, and those of Hosts and of the
// executor's Local. No executor and no other host is called under one of them.
//
// It may import cluster, partition, work, sched and transport.
package placement
