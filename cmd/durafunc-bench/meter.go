package main

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage/metered"
)

// noisyShare is the part of the machine that other processes may use during a
// repetition before it is called noisy (the rule of the peers' benchmark).
const noisyShare = 0.20

// usage is what a repetition has cost. Times are seconds of CPU.
type usage struct {
	Wall     float64 `json:"wall_s"`
	HostCPU  float64 `json:"host_cpu_s"`  // the driver's clients included
	AppCPU   float64 `json:"app_cpu_s"`   // in steps of 10 ms
	StoreCPU float64 `json:"store_cpu_s"` // MinIO's own
	Others   float64 `json:"others"`      // share of the machine used by other processes, 0 to 1
	Noisy    bool    `json:"noisy,omitempty"`

	Puts    int64   `json:"puts"`
	Gets    int64   `json:"gets"`
	Lists   int64   `json:"lists"`
	Deletes int64   `json:"deletes"`
	PutMS   float64 `json:"put_ms"` // mean
	// AloneMS is what a Create took right before, with nothing else to do (median); 0 if the
	// store is no directory.
	AloneMS float64 `json:"create_alone_ms,omitempty"`

	Allocations uint64 `json:"host_allocations"`
	Allocated   uint64 `json:"host_allocated_bytes"`

	// At the end of the repetition.
	HostRSS float64 `json:"host_rss_mb"`
	AppRSS  float64 `json:"app_rss_mb"`
}

// meter measures from begin to end.
type meter struct {
	e                        *environment
	start                    time.Time
	self, app, store, others time.Duration
	requests                 metered.Counts
	mem                      runtime.MemStats
}

func (e *environment) begin() *meter {
	m := &meter{e: e}
	runtime.ReadMemStats(&m.mem)
	m.requests = e.host.Requests()
	m.self, m.app, m.store = cpuSelf(), cpuOf(e.appPID()), cpuOf(e.storePID)
	m.others = cpuMachine() - m.self - m.app - m.store
	m.start = time.Now()
	return m
}

func (m *meter) end() usage {
	wall := time.Since(m.start)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	self, app, store := cpuSelf(), cpuOf(m.e.appPID()), cpuOf(m.e.storePID)
	others := cpuMachine() - self - app - store - m.others
	now := m.e.host.Requests()
	u := usage{
		Wall: wall.Seconds(), HostCPU: (self - m.self).Seconds(), AppCPU: (app - m.app).Seconds(), StoreCPU: (store - m.store).Seconds(),
		Puts: now.Puts() - m.requests.Puts(), Gets: now.Get.Requests - m.requests.Get.Requests,
		Lists: now.List.Requests - m.requests.List.Requests, Deletes: now.Delete.Requests - m.requests.Delete.Requests,
		Allocations: mem.Mallocs - m.mem.Mallocs, Allocated: mem.TotalAlloc - m.mem.TotalAlloc,
	}
	if u.Puts > 0 {
		took := now.Create.Total + now.Replace.Total - m.requests.Create.Total - m.requests.Replace.Total
		u.PutMS = took.Seconds() * 1000 / float64(u.Puts)
	}
	u.Others = max(0, others.Seconds()/wall.Seconds()/float64(runtime.NumCPU()))
	// Times come in steps of 10 ms: shorter repetitions cannot be judged.
	u.Noisy = u.Others > noisyShare && wall > 10*clockStep
	return u
}

// addMemory adds the resident memory. It is not part of a repetition's time: reading
// it takes the kernel some milliseconds.
func (e *environment) addMemory(u *usage) {
	_, host := memory(os.Getpid())
	_, app := memory(e.appPID())
	u.HostRSS, u.AppRSS = float64(host)/(1<<20), float64(app)/(1<<20)
}

// clockStep is the resolution of the CPU times of other processes.
const clockStep = 10 * time.Millisecond

// quietCores is how many processors may be busy in a quiet machine.
const quietCores = 0.3

// awaitQuiet waits, at most so long, until the machine does nothing else for a moment.
// It says how many processors were busy last.
func awaitQuiet(ctx context.Context, most time.Duration) float64 {
	const look = 250 * time.Millisecond
	deadline := time.Now().Add(most)
	for {
		before := cpuMachine()
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(look):
		}
		busy := (cpuMachine() - before).Seconds() / look.Seconds()
		if busy <= quietCores || time.Now().After(deadline) {
			return busy
		}
	}
}
