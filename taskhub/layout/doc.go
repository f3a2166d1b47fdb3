// Package layout is what stands where in a task hub's bucket: hub.json, which says what
// the hub is and which partition serves which instance, and the prefixes of the rest. What
// is below a partition's prefix is package partition's.
//
// It holds no state and no lock. It may import checked, lease, sched, storage and verdict.
package layout
