package partition

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
	"github.com/durafunc/durafunc/taskhub/verdict"
	"github.com/durafunc/durafunc/taskhub/work"
)

// rig is the bucket of one partition in a synctest bubble, in which waiting takes no time.
type rig struct {
	*testing.T
	store  *memory.Store
	bucket Bucket // over store itself
	// The history so far, as the log and the checkpoints tell it.
	state checkpoint.DB
	pub   *checkpoint.Publisher
}

// clock is the real scheduler with the bubble's time.
type clock struct{ sched.Scheduler }

var booted = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func (clock) Mono() time.Duration { return time.Since(booted) }

func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, store: memory.NewWithClock(time.Now)}
		r.bucket = Bucket{
			Hub: "hub", N: 3, Prefix: func(n int) string { return fmt.Sprintf("p/%02d/", n) },
			Store: r.store, Register: r.store, Sched: clock{sched.Real()},
		}
		var err error
		builder, _ := checkpoint.Memory{}.Begin("")
		r.state, err = builder.Open()
		r.must(err)
		r.pub = &checkpoint.Publisher{Store: r.store, Sched: r.bucket.Sched, Prefix: r.bucket.tablePrefix(), Guard: verdict.Unguarded{}}
		f(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) session() *lease.Session {
	r.Helper()
	s, err := lease.Open(r.Context(), lease.Config{Register: r.store, Sched: r.bucket.Sched, Prefix: "session/", Lease: time.Minute}, lease.Record{})
	r.must(err)
	// The renewals must end before the bubble does.
	r.Cleanup(func() {
		_ = s.Close(context.Background())
		synctest.Wait()
	})
	return s
}

// config is that of a host whose requests to the store go through hooks.
func (r *rig) config(s *lease.Session, hooks *hooked) *Config {
	hooks.Store = r.store
	b := r.bucket
	b.Store, b.Register = hooks, hooks
	return &Config{
		Bucket: b, Settings: Settings{MaxPayload: 1 << 20}, Partitions: 4, Place: func(string) int { return 3 },
		Session: s, Opener: checkpoint.Memory{}, Exec: idle{}, Post: idle{}, Log: hclog.NewNullLogger(),
	}
}

// idle takes work and messages, and does nothing.
type idle struct{}

func (idle) Submit(work.Batch, func([]*work.Result)) {}
func (idle) Send(int, core.Send)                     {}
func (idle) Ack(int, core.Ack)                       {}

// hooked is a store in which something happens just before the first request for a key.
type hooked struct {
	storage.Store
	mu     sync.Mutex
	before map[string]func() // by verb and key
	// lost: the answers of so many of the next creations of a key do not come.
	lost map[string]int
}

var errUnclear = errors.New("connection lost")

func (h *hooked) hook(verb, key string) {
	h.mu.Lock()
	f := h.before[verb+" "+key]
	delete(h.before, verb+" "+key)
	h.mu.Unlock()
	if f != nil {
		f()
	}
}

func (h *hooked) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	h.hook("get", key)
	return h.Store.Get(ctx, key)
}

func (h *hooked) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	h.hook("replace", key)
	return h.Store.Replace(ctx, key, old, body)
}

func (h *hooked) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	h.hook("create", key)
	tag, err := h.Store.Create(ctx, key, body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost[key] > 0 {
		h.lost[key]--
		return "", errUnclear
	}
	return tag, err
}

func (r *rig) slot(seq uint64) string { return r.bucket.log().Key(seq) }

// put creates or replaces an object, whatever was there.
func (r *rig) put(key string, body []byte) {
	r.Helper()
	r.must(r.store.Delete(r.Context(), key))
	_, err := r.store.Create(r.Context(), key, body)
	r.must(err)
}

// get is the object under a key; nil if there is none.
func (r *rig) get(key string) []byte {
	r.Helper()
	b, _, err := r.store.Get(r.Context(), key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		r.Fatal(err)
	}
	return b
}

// record is the one that an owner of epoch would write next, after change.
func (r *rig) record(epoch uint64, change ...func(*commitlog.Record)) *commitlog.Record {
	at := r.state.Position()
	rec := &commitlog.Record{
		Kind: commitlog.Commit, Hub: "hub", Session: fmt.Sprintf("owner-%d", epoch), Partition: 3,
		Epoch: epoch, Seq: at.Seq + 1, Prev: at.Digest, Body: entry(at.Seq + 1),
	}
	for _, f := range change {
		f(rec)
	}
	return rec
}

// entry is a batch that notes the record in the state.
func entry(seq uint64) []byte {
	var b kv.Batch
	b.Put(fmt.Appendf(nil, "\xffrecord %d", seq), []byte("x"))
	return bytes.Clone(b.Bytes())
}

// commits lets an owner of epoch write n records.
func (r *rig) commits(epoch uint64, n int) {
	r.Helper()
	for range n {
		rec := r.record(epoch)
		b := rec.Encode()
		r.put(r.slot(rec.Seq), b)
		r.must(r.state.Apply(rec.Body, checkpoint.Position{Seq: rec.Seq, Epoch: epoch, Digest: sha256.Sum256(b)}))
	}
}

// straggler lets a fenced owner of epoch fill the next slot, which is void.
func (r *rig) straggler(epoch uint64) {
	r.Helper()
	rec, at := r.record(epoch), r.state.Position()
	r.put(r.slot(rec.Seq), rec.Encode())
	at.Seq = rec.Seq
	r.must(r.state.Apply(nil, at))
}

// uploaded is a checkpoint of the state as it is now.
func (r *rig) uploaded() *checkpoint.Manifest {
	r.Helper()
	r.pub.Epoch = r.state.Position().Epoch
	frozen, err := r.state.Freeze()
	r.must(err)
	defer frozen.Release()
	m, err := r.pub.Upload(r.Context(), frozen)
	r.must(err)
	return m
}

// tables are the keys of a checkpoint's objects.
func (r *rig) tables(m *checkpoint.Manifest) []string {
	var keys []string
	for _, name := range m.Objects() {
		keys = append(keys, r.bucket.tablePrefix()+name)
	}
	return keys
}

// writeRoot makes the root what change makes of a released one of epoch.
func (r *rig) writeRoot(epoch uint64, change ...func(*Root)) {
	r.Helper()
	root := &Root{Format: rootFormat, Hub: "hub", Partition: 3, Epoch: epoch, Nonce: fmt.Sprint(epoch)}
	for _, f := range change {
		f(root)
	}
	r.put(r.bucket.rootKey(), root.encode())
}

func (r *rig) root() *Root {
	r.Helper()
	root, _, err := r.bucket.ReadRoot(r.Context())
	r.must(err)
	return root
}

// noted lists the records of which a state knows.
func (r *rig) noted(state kv.Reader) []string {
	r.Helper()
	var names []string
	for e, err := range state.Scan([]byte("\xffrecord "), []byte("\xffrecord!")) {
		r.must(err)
		names = append(names, string(e.Key))
	}
	slices.Sort(names)
	return names
}
