// Package layout is what stands at the top of a task hub's bucket: hub.json, which says what
// the hub is and which partition serves which instance, and the prefixes of sessions and
// partitions. What is below a partition's prefix is package partition's; files of apps are
// bindings/files'.
//
// It holds no state and no lock. It may import checked, lease, sched, storage and verdict.
package layout
