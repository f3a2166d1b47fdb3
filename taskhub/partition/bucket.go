package partition

import (
	"fmt"

	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Bucket is what is stored of one partition, for everybody who looks at it: its owner, a
// host that wonders whose it is, an inspector of the hub. Looking takes no session and
// changes nothing. Its methods may be called concurrently.
type Bucket struct {
	Hub string // hub id
	N   int    // the partition
	// Prefix is what the keys of any partition of the hub begin with, ending in '/'.
	Prefix func(partition int) string

	Store    storage.Store
	Register lease.Register // keeps the root
	Sched    sched.Scheduler
}

// String names the partition in errors.
func (b Bucket) String() string { return fmt.Sprintf("partition %d", b.N) }

func (b Bucket) rootKey() string       { return b.Prefix(b.N) + "root" }
func (b Bucket) tablePrefix() string   { return b.Prefix(b.N) + "table/" }
func (b Bucket) payloadPrefix() string { return b.Prefix(b.N) + "payload/" }

func (b Bucket) log() *commitlog.Log {
	return &commitlog.Log{Store: b.Store, Sched: b.Sched, Prefix: b.Prefix(b.N) + "log/"}
}
