package partition

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Config is what an open partition needs from its host.
type Config struct {
	Bucket
	Settings

	// Partitions is how many the hub has, and Place maps an instance id to one of them.
	Partitions int
	Place      func(id string) int

	Session *lease.Session
	Opener  checkpoint.Opener
	Exec    work.Executor
	Post    MessageSender
	Late    *atomic.Uint64 // counts answers of work items that nobody waits for; may be nil
	Log     hclog.Logger
}

// Settings are what a host's user chooses, the same for all partitions of the hub.
type Settings struct {
	// MaxPayload is the largest payload in bytes.
	MaxPayload int
	// FailNonDeterminism and ReplaceRunning: see core.Config.
	FailNonDeterminism, ReplaceRunning bool
	// MaxCached bounds the decoded instances of each partition: see core.Config.
	MaxCached int
	// CheckpointRecords is after how many commits a checkpoint is due; 0: 1,000.
	CheckpointRecords int
	// Limits bound the memory that each partition needs.
	Limits Limits
}

// MessageSender carries messages between partitions. It may lose, repeat and reorder them.
type MessageSender interface {
	// Send carries messages of partition src to the owner of s.Dst.
	Send(src int, s core.Send)
	// Ack tells the owner of a.Src that partition dst has taken in up to a.UpTo.
	Ack(dst int, a core.Ack)
}

// Limits and timings of a partition.
const (
	// commitWait is how long at most a commit waits for short work that is out, counted
	// from when it could start. Without it results arrive just after the commit left, and
	// every step pays two PUTs (with it: +70 % on a 20 ms store). Too short a bound
	// breaks the cohorts up again: ADR 0031.
	commitWait = 5 * time.Millisecond
	// shortWork is the mean duration up to which an activity is waited for, and
	// shortAge how long one is believed to be about to end.
	shortWork = 2 * time.Millisecond
	shortAge  = 10 * time.Millisecond
	// A checkpoint is due after so many records, so many bytes of batches, or so much
	// idleness with anything new: recovery replays no more than that. The bytes are
	// those before compression, of which the log holds about a quarter; a checkpoint
	// each 8 MiB of them was one a second under load, and half of all compactions.
	checkpointRecords = 1000
	checkpointBytes   = 32 << 20
	checkpointIdle    = 30 * time.Second
	// deleteGrace is how long an object must have been unreferenced before it is
	// deleted. A signed request can land up to 15 minutes after it was signed, and
	// a create-only name must not become free while one may still come: with one
	// minute, acknowledged work was lost (E§C3.1). Never make this a setting.
	deleteGrace = 20 * time.Minute
	// stopPatience is how long a partition that is being stopped waits for work that
	// is out with apps.
	stopPatience = 2 * time.Second
	// resendAfter is when unacknowledged messages are sent again.
	resendAfter = 2 * time.Second
)

// checkpointEvery is CheckpointRecords or its default.
func (s *Settings) checkpointEvery() int {
	if s.CheckpointRecords > 0 {
		return s.CheckpointRecords
	}
	return checkpointRecords
}

// core is the Config of the partition's core under an epoch.
func (c *Config) core(epoch uint64) core.Config {
	return core.Config{
		Partition: c.N, Partitions: c.Partitions, Epoch: epoch, Place: c.Place,
		FailNonDeterminism: c.FailNonDeterminism, ReplaceRunning: c.ReplaceRunning, MaxCached: c.MaxCached,
		MaxOutboxMessages: c.Limits.OutboxMessages, MaxOutboxBytes: c.Limits.OutboxBytes,
	}
}
