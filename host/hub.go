package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage/metered"
	"github.com/durafunc/durafunc/taskhub/storage/probe"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// blockCache is the memory in bytes that the partitions' working states share for
// blocks read from disk, beside what their memtables take.
const blockCache = 64 << 20

// probePrefix is where the probes of a store try it out, beside the hub's own objects.
const probePrefix = "probe"

// network is how this host reaches the others of its hub. A store in memory has no others.
func (h *Host) network() func(hub string, key []byte) (transport.Network, error) {
	task := h.opts.Config.DurableTask
	if task.Storage.Type == hostjson.StoreMemory {
		return nil
	}
	return func(hub string, key []byte) (transport.Network, error) {
		return transport.NewGRPC(transport.GRPCOptions{
			Listen: net.JoinHostPort(h.opts.Address, strconv.Itoa(task.PeerPort)), Advertise: task.AdvertiseAddress,
			Hub: hub, Key: key, Log: h.opts.Log.Named("peers"),
		})
	}
}

// openStore opens the store. One that does not keep its word is refused before anything
// is entrusted to it.
func (h *Host) openStore(ctx context.Context) error {
	store, place, err := OpenStore(ctx, h.opts.Config)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	h.monitored = monitorStore(store, h.opts.Log.Named("store"))
	h.store, h.place = metered.New(h.monitored), place
	quick, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := probe.Quick(quick, store, probePrefix); err != nil {
		return fmt.Errorf("store: %s: %w", place, err)
	}
	return nil
}

// openHub opens the task hub in the store.
func (h *Host) openHub(ctx context.Context) error {
	cfg := h.opts.Config
	opener, err := checkpoint.NewPebble(h.local.state(), blockCache+int64(cfg.DurableTask.Storage.PartitionCount)*checkpoint.StateMemory)
	if err != nil {
		return err
	}
	task := cfg.DurableTask
	h.work = dispatch.New(dispatch.Options{
		MaxOrchestrators: task.MaxConcurrentOrchestratorFunctions, MaxActivities: task.MaxConcurrentActivityFunctions,
		FunctionNotFoundTimeout: task.FunctionNotFoundTimeout,
	})
	register, leases, err := OpenRegister(ctx, cfg)
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	h.hub, err = taskhub.Open(ctx, taskhub.Options{
		Name: task.HubName, Store: h.store, Register: register, Leases: leases, Partitions: task.Storage.PartitionCount,
		Prepare: func() error { return probe.Race(ctx, h.monitored.Store, probePrefix) },
		Opener:  opener, Exec: h.work, Sched: sched.Real(), Log: h.opts.Log.Named("taskhub"),
		Lease: task.Storage.LeaseDuration, Network: h.network(),
		About: lease.Record{
			Host: hostname, PID: os.Getpid(), Started: h.started.UTC(), Machine: lease.MachineID(), Lock: h.local.lock.Path(),
		},
		Dead: lease.ProvenDead,
		Settings: taskhub.Settings{
			MaxPayload:         int(task.MaxPayloadBytes),
			FailNonDeterminism: task.NonDeterminism == hostjson.NonDeterminismFail,
			ReplaceRunning:     task.OverrideRunning,
		},
	})
	if err == nil && h.hub.Partitions() != task.Storage.PartitionCount {
		h.opts.Log.Warn("the hub keeps the number of partitions that it was created with",
			"hub", task.HubName, "partitions", h.hub.Partitions(), "partitionCount", task.Storage.PartitionCount)
	}
	return err
}
