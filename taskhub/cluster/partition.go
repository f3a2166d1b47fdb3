package cluster

// State is what this host does with a partition, or believes that others do.
type State string

// The states.
const (
	Opening   State = "opening"   // claiming and recovering it, or finding out whose it is
	Elsewhere State = "elsewhere" // another host serves it
	Waiting   State = "waiting"   // its owner is silent; it is taken over when the lease has run out
	Serving   State = "serving"
	Moving    State = "moving" // being handed over to another host
	Parked    State = "parked" // an object of it is corrupt; it needs a person
	Dormant   State = "asleep" // the hub hibernates until somebody or a timer wants something
	Stopped   State = "stopped"
)

// Partition is what this host believes of one partition.
type Partition struct {
	State   State
	Detail  string // what it waits for, or the corrupt object
	Owner   string // session that owns it or has been given it; "": nobody, or not known
	Address string // of the owner, if it is another host that can be reached
	Epoch   uint64 // the highest that was heard of
}
