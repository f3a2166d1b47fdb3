// Package routing brings a request, or a message of a partition, to the host that owns the
// partition it is for: to this one, whose partitions it executes requests in, or to another.
// It holds a request while its partition moves.
//
// It has no lock: what it knows of owners it asks an Owners for, each time. It may import
// ownership, cluster, partition, core, history, kv, lease, sched and transport.
package routing
