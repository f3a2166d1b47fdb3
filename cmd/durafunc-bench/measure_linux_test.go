package main

import (
	"os"
	"testing"
	"time"
)

func TestProcTexts(t *testing.T) {
	stat := []byte("42 (a) b (c) S 1 42 42 0 -1 4194560 1000 0 0 0 150 50 7 8 20 0 9 0 100 0 0")
	if got := cpuInStat(stat); got != 2*time.Second {
		t.Errorf("CPU %v, want 2s", got)
	}
	if got := cpuInStat([]byte("42 (a) S 1")); got != 0 {
		t.Errorf("a short line: %v", got)
	}
	// user, nice, system, idle, iowait, irq, softirq, steal; guest is within user.
	if got := busyInStat([]byte("cpu  100 10 50 9999 888 5 5 30 40 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")); got != 2*time.Second {
		t.Errorf("busy %v, want 2s", got)
	}
	rollup := []byte("00400000-7ffd [rollup]\nRss:              2048 kB\nPss:              1024 kB\nPss_Anon:            1 kB\n")
	if rss, pss := kilobytes(rollup, "Rss:"), kilobytes(rollup, "Pss:"); rss != 2048 || pss != 1024 {
		t.Errorf("Rss %d, Pss %d", rss, pss)
	}
}

func TestOwnProcess(t *testing.T) {
	if cpuSelf() <= 0 || cpuMachine() < cpuSelf()/2 {
		t.Errorf("self %v, machine %v", cpuSelf(), cpuMachine())
	}
	if pss, rss := memory(os.Getpid()); rss <= 0 || pss > rss {
		t.Errorf("Pss %d, Rss %d", pss, rss)
	}
	if cpuOf(1<<30) != 0 {
		t.Error("a process that is not there has used CPU")
	}
}
