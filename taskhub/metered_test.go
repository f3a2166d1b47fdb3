package taskhub

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// meter counts what one host asks of the bucket.
type meter struct {
	storage.Store
	mu    sync.Mutex
	asked []string
}

func (m *meter) note(what, key string) {
	m.mu.Lock()
	m.asked = append(m.asked, what+" "+key)
	m.mu.Unlock()
}

// since forgets what was asked so far and returns it.
func (m *meter) since() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = nil
	return asked
}

func (m *meter) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	m.note("get", key)
	return m.Store.Get(ctx, key)
}

func (m *meter) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	m.note("create", key)
	return m.Store.Create(ctx, key, body)
}

func (m *meter) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	m.note("replace", key)
	return m.Store.Replace(ctx, key, old, body)
}

func (m *meter) Delete(ctx context.Context, key string) error {
	m.note("delete", key)
	return m.Store.Delete(ctx, key)
}

func (m *meter) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	m.note("list", prefix)
	return m.Store.List(ctx, prefix, after)
}

// metered is a host whose requests are counted.
type metered struct {
	*hubHost
	meter *meter
	name  string
}

// company opens n hosts of a hub of four partitions.
func company(t *testing.T, b *bucket, n int, change ...func(*Options)) (hosts []*metered, board *switchboard) {
	t.Helper()
	board = newSwitchboard()
	for k := range n {
		m := &metered{name: fmt.Sprint("host", k)}
		count := func(o *Options) {
			m.meter = &meter{Store: o.Store}
			o.Store = m.meter
		}
		m.hubHost = host(t, b, append([]func(*Options){partitions(4), board.at(m.name), count}, change...)...)
		hosts = append(hosts, m)
	}
	return hosts, board
}

func never(o *Options) { o.HibernateAfter = -1 }

// reaches waits until all partitions of a host are in one of the states.
func (h *hubHost) reaches(t *testing.T, within time.Duration, states ...PartitionState) {
	t.Helper()
	var info []PartitionInfo
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		info = h.Info()
		if !slices.ContainsFunc(info, func(p PartitionInfo) bool { return !slices.Contains(states, p.State) }) {
			return
		}
	}
	t.Fatalf("after %v: %+v", within, info)
}

// awaitDormant waits until the hosts hibernate.
func awaitDormant(t *testing.T, hosts []*metered) {
	t.Helper()
	end := time.Now().Add(3 * time.Minute)
	for _, h := range hosts {
		for ; !h.Dormant(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s is awake: %+v", h.name, h.Info())
			}
		}
	}
}
