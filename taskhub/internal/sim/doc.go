// Package sim runs a whole cluster of task hub hosts in one goroutine and virtual time:
// hosts, a bucket with faults, function apps, clients and an auditor, all drawn from
// one seed. The same seed gives the same trace, event for event (E§C13).
//
// A World holds a heap of events. Coroutines stand for goroutines; one runs at a time,
// until it waits in the scheduler or in the bucket. Bucket is the shared storage; it
// tells a Reference what was written, and the Reference checks the invariants of
// E§C12 as it follows. Run draws a Plan from a seed and plays it.
//
// It imports the engine; nothing but tests imports it.
package sim
