// Package partition runs one partition: it claims it, recovers it, and then turns the
// world into steps of the core, gathers what they change into commits, and releases
// their effects once a commit is durable.
//
// One event loop owns the core; everything that waits (the store, checkpoints) runs
// beside it and comes back as a function posted to the loop.
//
// It imports core, commitlog, checkpoint, lease, storage, sched, work and hclog.
package partition
