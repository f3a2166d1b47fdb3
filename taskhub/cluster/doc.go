// Package cluster is what one host believes of the others and of the hub's partitions, and
// what follows from it: which partitions to claim, which silent owners to observe, whom to
// ask for a partition, when to hibernate.
//
// A View is told what was learned and what was done; Plan says what is to be done. Two hosts
// that decide differently do no harm: the root in the bucket says who is right.
//
// It is pure: no lock, clock, goroutine, randomness or I/O, so that its decisions can be
// tested as tables. Times are of sched.Scheduler.Mono, and come in as values. It imports the
// standard library alone.
package cluster
