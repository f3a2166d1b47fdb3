// Package taskhub opens a task hub in a bucket and answers its clients: the durable half of
// durafunc. Hub joins the rooms that do the work: ownership serves partitions, placement runs
// their work items, routing brings requests to their owners. It knows nothing of plugins or
// HTTP: work items go to a work.Executor that the opener hands in, requests come through
// Client. Hub itself holds no lock.
//
// It may import its own subpackages and hclog; never host, plugins or trigger.
package taskhub
