// Package taskhub opens a task hub in a bucket and runs its partitions: the
// durable half of durafunc. It knows nothing of plugins or HTTP: work items go to
// a work.Executor that the opener hands in, requests come through Client.
//
// It may import its own subpackages and hclog; never host, plugins or trigger.
package taskhub
