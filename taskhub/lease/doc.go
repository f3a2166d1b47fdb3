// Package lease decides which host may own partitions: one session per host process,
// kept alive by renewals, observed by the rules of the DynamoDB lock client. No clock
// of one host is ever compared with that of another: an observer waits until it has
// itself seen the same record for the whole lease duration (E§A6, E§C3).
//
// A lease gives liveness. Safety rests on the log slots and the roots of partitions.
//
// It imports storage, sched, verdict and checked.
package lease
