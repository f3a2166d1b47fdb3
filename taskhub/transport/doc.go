// Package transport carries what the hosts of a hub say to each other: messages between
// partitions and their acknowledgements, client requests to the owner of a partition, work
// items and their results, and who is there and owns what. It promises nothing: whatever
// crosses it may be lost or come twice, and the engine is made for that.
//
// wire.proto is the table of the messages. GRPC is the network of real hosts,
// authenticated both ways with a key that the hub keeps; the simulator has its own.
//
// It imports history, grpc, crypto/tls and hclog, and nothing else of taskhub.
package transport
