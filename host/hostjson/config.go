// Package hostjson reads host.json, the configuration of a function app root
// (F§5.1, F§5.2): JSON with comments, keys in any letter case, overridden by the
// environment. Load is the only door; it validates once, before anything starts,
// and reports every problem with the place to edit.
package hostjson

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// FileName is the name of the configuration file in a function app root.
const FileName = "host.json"

// Version is the only schema version that Load accepts.
const Version = "2.0"

// Defaults of the settings.
const (
	DefaultHubName                 = "TestHubName"
	DefaultFunctionsDirectory      = "functions"
	DefaultStorePath               = ".durafunc"
	DefaultPartitionsFile          = 1 // on one disk more partitions only cost more fsyncs
	DefaultPartitionsS3            = 4
	DefaultLeaseDuration           = 15 * time.Second
	DefaultFunctionNotFoundTimeout = 5 * time.Minute
	DefaultMaxPayloadBytes         = 64 << 20
	DefaultLogLevel                = hclog.Info
	DefaultConcurrencyPerCPU       = 100 // ADR 0030: Azure has 10, for functions that hold a thread each
)

// Bounds of the settings.
const (
	// MinLeaseDuration leaves room for a slow renewal or two over the network.
	MinLeaseDuration = 2 * time.Second
	// MinPayloadBytes is the least maxPayloadBytes: error messages must fit.
	MinPayloadBytes = 1 << 10
	// MaxPayloadBytes is the greatest maxPayloadBytes: with its frame, a payload
	// has to fit into one object (storage.MaxObject).
	MaxPayloadBytes = 64 << 20
	// MaxFileBytes bounds host.json, which is read whole and parsed recursively.
	MaxFileBytes = 256 << 10
)

// Config is a validated host.json with its defaults filled in.
type Config struct {
	Root string // absolute path of the function app root
	// File is the absolute path of host.json; empty when there is none.
	File string

	// FunctionsDirectory is the absolute path of the directory with function apps.
	FunctionsDirectory string
	// LogLevel is logging.logLevel.default.
	LogLevel hclog.Level

	DurableTask DurableTask
}

// DurableTask is the section extensions.durableTask.
type DurableTask struct {
	HubName                            string
	MaxConcurrentActivityFunctions     int // per host process
	MaxConcurrentOrchestratorFunctions int // episodes, per host process
	// OverrideRunning is overridableExistingInstanceStates "AnyState": a start
	// replaces an instance of that id even while it runs (F§2.1 K5).
	OverrideRunning bool
	// NonDeterminism says what a replay mismatch does to its instance.
	NonDeterminism NonDeterminism
	// FunctionNotFoundTimeout is how long work waits for a function that no live
	// app has; 0: it fails at once.
	FunctionNotFoundTimeout time.Duration
	// MaxPayloadBytes bounds one input, output or event.
	MaxPayloadBytes int64
	// AdvertiseAddress is what other hosts of the hub are told: host or host:port; empty:
	// found out. PeerPort is where they are listened to; 0: the system picks one.
	AdvertiseAddress string
	PeerPort         int
	Storage          Storage
}

// NonDeterminism is what happens to an instance whose replay disagrees with its
// history (F§14 O2).
type NonDeterminism string

// The values of nonDeterminism.
const (
	// NonDeterminismSuspend holds the instance, so that the old code heals it.
	NonDeterminismSuspend NonDeterminism = "suspend"
	// NonDeterminismFail fails the instance, as the reference does.
	NonDeterminismFail NonDeterminism = "fail"
)

// StoreType names a store implementation.
type StoreType string

// The values of storageProvider.type.
const (
	StoreFile   StoreType = "file"
	StoreS3     StoreType = "s3"
	StoreMemory StoreType = "memory"
)

// Storage is the section extensions.durableTask.storageProvider.
type Storage struct {
	Type StoreType
	// Path is the absolute directory of a file store.
	Path string
	// Bucket, Prefix, Endpoint, Region and ForcePathStyle belong to type s3. Prefix
	// has no slash at its ends. Endpoint and Region are empty for the SDK's own.
	Bucket, Prefix, Endpoint, Region string
	ForcePathStyle                   bool
	// PartitionCount is fixed once the hub exists; it counts at its creation.
	PartitionCount int
	// LeaseDuration is how long a host may be silent before others take over.
	LeaseDuration time.Duration
	// Leases is where sessions and roots are kept.
	Leases Leases
}

// LeasesType names a register of sessions and roots.
type LeasesType string

// The values of storageProvider.leases.type.
const (
	// LeasesObjects keeps them in the store.
	LeasesObjects LeasesType = "objects"
	// LeasesDynamoDB keeps them in a DynamoDB table.
	LeasesDynamoDB LeasesType = "dynamodb"
)

// Leases is the section storageProvider.leases. All but Type belong to type dynamodb.
type Leases struct {
	Type                    LeasesType
	Table, Endpoint, Region string // Endpoint and Region are empty for the SDK's own
}
