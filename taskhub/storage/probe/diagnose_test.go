package probe_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/storage/prefixed"
	"github.com/durafunc/durafunc/taskhub/storage/probe"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// byCheck finds findings by name and fails on a name that comes twice.
func byCheck(t *testing.T, findings []probe.Finding) map[string]probe.Finding {
	t.Helper()
	m := make(map[string]probe.Finding)
	for _, f := range findings {
		if _, twice := m[f.Check]; twice {
			t.Errorf("check %s twice", f.Check)
		}
		if f.Found == "" || f.Level != probe.OK && f.Advice == "" {
			t.Errorf("%+v does not say what was found and what to do", f)
		}
		m[f.Check] = f
	}
	return m
}

func wantLevels(t *testing.T, findings []probe.Finding, want map[string]probe.Level) {
	t.Helper()
	got := byCheck(t, findings)
	for check, level := range want {
		if got[check].Level != level {
			t.Errorf("%s: %+v, want %s", check, got[check], level)
		}
	}
	for check := range got {
		if _, known := want[check]; !known {
			t.Errorf("unexpected: %+v", got[check])
		}
	}
}

// sound are the levels of a store in which nothing is wrong, with more added.
func sound(more map[string]probe.Level) map[string]probe.Level {
	m := map[string]probe.Level{}
	for _, check := range []string{"reach", "latency", "conditions", "race", "ambiguity", "list", "expiry"} {
		m[check] = probe.OK
	}
	for check, level := range more {
		m[check] = level
	}
	return m
}

func TestDiagnoseMemory(t *testing.T) {
	inner := memory.New()
	findings := probe.Diagnose(t.Context(), prefixed.New(inner, "hub"), "doctor")
	wantLevels(t, findings, sound(map[string]probe.Level{"durability": probe.Warn}))
	if probe.Failed(findings) {
		t.Error("a store that works has failed")
	}
	wantEmpty(t, inner)
}

func TestDiagnoseFile(t *testing.T) {
	s, err := file.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	findings := probe.Diagnose(t.Context(), s, "doctor")
	// What disk the tests run on is not ours to judge.
	level := byCheck(t, findings)["durability"].Level
	wantLevels(t, findings, sound(map[string]probe.Level{"durability": level}))
	if level == probe.Fail {
		t.Errorf("%+v", byCheck(t, findings)["durability"])
	}
	wantEmpty(t, s)
}

func TestDiagnoseMinIO(t *testing.T) {
	s := miniotest.Start(t).Open(t)
	findings := probe.Diagnose(t.Context(), prefixed.New(s, "hub"), "doctor")
	wantLevels(t, findings, sound(map[string]probe.Level{"integrity": probe.OK, "clock": probe.OK, "durability": probe.Warn}))
	if f := byCheck(t, findings)["durability"]; !strings.Contains(f.Advice, "MINIO_FS_OSYNC=on") {
		t.Errorf("%+v", f)
	}
	wantEmpty(t, s)
}

// bucket is a store in a bucket with faults of its own.
type bucket struct {
	storage.Store
	server         string
	low, high      time.Duration
	silent         bool // about its time
	expired        error
	damaged        error
	keys           []string // that went around the wrapper
	downgradeWrite error    // the answer to writes that expire
}

func (b *bucket) ClockOffset() (low, high time.Duration, ok bool) { return b.low, b.high, !b.silent }
func (b *bucket) ServerName() string                              { return b.server }

func (b *bucket) send(ctx context.Context, key string, body []byte, answer error) error {
	b.keys = append(b.keys, key)
	if answer == nil {
		_, answer = b.Store.Create(ctx, key, body)
	}
	return answer
}

func (b *bucket) SendExpired(ctx context.Context, key string, body []byte) error {
	return b.send(ctx, key, body, b.expired)
}

func (b *bucket) SendDamaged(ctx context.Context, key string, body []byte) error {
	return b.send(ctx, key, body, b.damaged)
}

func (b *bucket) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if _, ok := storage.Deadline(ctx); ok && b.downgradeWrite != nil {
		return "", b.downgradeWrite
	}
	return b.Store.Create(ctx, key, body)
}

func TestDiagnoseBuckets(t *testing.T) {
	refused := errors.New("400 BadDigest")
	for _, tt := range []struct {
		name   string
		change func(b *bucket)
		check  string
		level  probe.Level
		says   string
	}{
		{"expiry enforced", func(*bucket) {}, "expiry", probe.OK, "refused by the store"},
		{"expiry ignored", func(b *bucket) { b.expired = nil }, "expiry", probe.Warn, "20 minutes"},
		{"expiry refused for a reason of its own", func(b *bucket) { b.expired = storage.ErrDenied }, "expiry", probe.OK, "does not say why"},
		{"expiry: no answer", func(b *bucket) { b.expired = errors.New("reset") }, "expiry", probe.Fail, "reset"},
		{"presigned requests forbidden", func(b *bucket) { b.downgradeWrite = storage.ErrDenied }, "expiry", probe.Fail, "presigned"},
		{"bodies verified", func(*bucket) {}, "integrity", probe.OK, "refused"},
		{"bodies not verified", func(b *bucket) { b.damaged = nil }, "integrity", probe.Warn, "https"},
		{"clocks agree", func(*bucket) {}, "clock", probe.OK, "give or take 500ms"},
		{"clocks within two seconds", func(b *bucket) { b.low, b.high = 1900*time.Millisecond, 2900*time.Millisecond }, "clock", probe.OK, "+2.4s"},
		{"store ahead", func(b *bucket) { b.low, b.high = 3*time.Second, 4*time.Second }, "clock", probe.Warn, "NTP"},
		{"store behind", func(b *bucket) { b.low, b.high = -4*time.Second, -3*time.Second }, "clock", probe.Warn, "-3.5s"},
		{"too far ahead", func(b *bucket) { b.low, b.high = time.Hour, time.Hour }, "clock", probe.Fail, "15 minutes"},
		{"too far behind", func(b *bucket) { b.low, b.high = -time.Hour, -time.Hour }, "clock", probe.Fail, "15 minutes"},
		{"no dates", func(b *bucket) { b.silent = true }, "clock", probe.Warn, "do not tell"},
		{"MinIO", func(*bucket) {}, "durability", probe.Warn, "MINIO_FS_OSYNC"},
		{"Amazon", func(b *bucket) { b.server = "AmazonS3" }, "durability", probe.OK, "Amazon S3"},
		{"another", func(b *bucket) { b.server = "x" }, "durability", probe.OK, `"x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bucket{Store: memory.New(), server: "MinIO", low: -time.Second / 2, high: time.Second / 2, expired: storage.ErrExpired, damaged: refused}
			tt.change(b)
			f := byCheck(t, probe.Diagnose(t.Context(), prefixed.New(b, "hub"), "doctor"))[tt.check]
			if f.Level != tt.level || !strings.Contains(f.Found+f.Advice, tt.says) {
				t.Errorf("%+v, want %s and %q", f, tt.level, tt.says)
			}
			for _, key := range b.keys {
				if !strings.HasPrefix(key, "hub/doctor/") {
					t.Errorf("a probe wrote %s, outside of the hub", key)
				}
			}
			wantEmpty(t, b.Store)
		})
	}
}

// unordered lists from the last key to the first.
type unordered struct{ *memory.Store }

func (s unordered) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	var entries []storage.Entry
	for e := range s.Store.List(ctx, prefix, after) {
		entries = append(entries, e)
	}
	slices.Reverse(entries)
	return func(yield func(storage.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// forgiving lets the same bytes be created again.
type forgiving struct{ *memory.Store }

func (s forgiving) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	tag, err := s.Store.Create(ctx, key, body)
	if old, oldTag, _ := s.Get(ctx, key); errors.Is(err, storage.ErrConflict) && string(old) == string(body) {
		return oldTag, nil
	}
	return tag, err
}

// dead answers nothing.
type dead struct{ *memory.Store }

func (dead) Create(context.Context, string, []byte) (storage.Tag, error) {
	return "", fmt.Errorf("connection refused")
}

func TestDiagnoseUnfitStores(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store storage.Store
		check string
		says  string
	}{
		{"ignores conditions", &broken{Store: memory.New(), name: "x", create: ignoreCreate, replace: ignoreReplace}, "conditions", "ignores the condition of a create"},
		{"two winners", &broken{Store: memory.New(), name: "x", create: func(ctx context.Context, b *broken, key string, body []byte) (storage.Tag, error) {
			return b.racy(ctx, key, body, func() (storage.Tag, error) { return b.Store.Create(ctx, key, body) })
		}}, "race", "let 2 of 32"},
		{"same bytes twice", forgiving{memory.New()}, "ambiguity", "created twice"},
		{"listings", unordered{memory.New()}, "list", "order"},
		{"out of reach", dead{memory.New()}, "reach", "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			findings := probe.Diagnose(t.Context(), tt.store, "doctor")
			f := byCheck(t, findings)[tt.check]
			if f.Level != probe.Fail || !strings.Contains(f.Found, tt.says) || !probe.Failed(findings) {
				t.Errorf("%+v, want a failure that says %q", f, tt.says)
			}
			if tt.check == "reach" && len(findings) != 2 {
				t.Errorf("a store out of reach is probed further: %+v", findings)
			}
			wantEmpty(t, tt.store)
		})
	}
}

// onDisk is a store on a file system of a kind.
type onDisk struct {
	*memory.Store
	kind string
	sync time.Duration
	err  error
}

func (d onDisk) FileSystem() string { return d.kind }

func (d onDisk) MeasureSync(n int) ([]time.Duration, error) {
	return slices.Repeat([]time.Duration{d.sync}, n), d.err
}

func TestDiagnoseDisks(t *testing.T) {
	for _, tt := range []struct {
		disk  onDisk
		level probe.Level
		says  string
	}{
		{onDisk{kind: "ext4", sync: time.Millisecond}, probe.OK, "a sync takes 1ms"},
		{onDisk{kind: "ext4", sync: 5 * time.Microsecond}, probe.Warn, "honour"},
		{onDisk{kind: "fuseblk", sync: time.Millisecond}, probe.OK, "fuseblk"},
		{onDisk{kind: "fuse.sshfs", sync: time.Millisecond}, probe.Warn, "local disk"},
		{onDisk{kind: "nfs4", sync: time.Millisecond}, probe.Warn, "local disk"},
		{onDisk{kind: "tmpfs", sync: time.Millisecond}, probe.Warn, "in memory"},
		{onDisk{kind: "overlay", sync: time.Millisecond}, probe.Warn, "container"},
		{onDisk{sync: time.Millisecond}, probe.OK, "unknown"},
		{onDisk{kind: "ext4", err: errors.New("no space left")}, probe.Fail, "no space left"},
	} {
		tt.disk.Store = memory.New()
		f := byCheck(t, probe.Diagnose(t.Context(), tt.disk, "doctor"))["durability"]
		if f.Level != tt.level || !strings.Contains(f.Found+f.Advice, tt.says) {
			t.Errorf("%+v: %+v, want %s and %q", tt.disk, f, tt.level, tt.says)
		}
	}
}

func TestDiagnoseRegister(t *testing.T) {
	good := memory.New()
	if f := probe.DiagnoseRegister(t.Context(), good, "doctor"); f.Level != probe.OK || f.Check != "leases" {
		t.Errorf("%+v", f)
	}
	wantEmpty(t, good)
	bad := &broken{Store: memory.New(), name: "x", replace: func(ctx context.Context, b *broken, key string, old storage.Tag, body []byte) (storage.Tag, error) {
		return b.racy(ctx, key, body, func() (storage.Tag, error) { return b.Store.Replace(ctx, key, old, body) })
	}}
	if f := probe.DiagnoseRegister(t.Context(), bad, "doctor"); f.Level != probe.Fail || !strings.Contains(f.Found, "let 2 of 32") {
		t.Errorf("%+v", f)
	}
	wantEmpty(t, bad)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if f := probe.DiagnoseRegister(gone, good, "doctor"); f.Level != probe.Fail || f.Advice == "" {
		t.Errorf("%+v", f)
	}
}
