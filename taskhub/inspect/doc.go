// Package inspect looks into a task hub's bucket from outside: who takes part in it, who
// owns what, and whether every object is whole. It takes no lease and writes nothing, so it
// may be used beside running hosts and on a hub that none can open.
//
// It holds no lock. It may import layout, partition, lease, checkpoint, sched and storage.
package inspect
