package taskhub

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// manifest is hub.json: what a task hub is, written once when it is created. It carries a
// checksum (package checked).
type manifest struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Hash names the function that maps an instance id to 32 bits; a partition serves
	// the hashes from its start (hex) to the next one's.
	Hash   string   `json:"hash"`
	Starts []string `json:"starts"`
	// Leases says where sessions and roots are kept when that is not this bucket: two
	// hosts that looked in different places could both own a partition.
	Leases string `json:"leases,omitempty"`
	// PeerKey lets the hosts of the hub trust each other, in hex: whoever can read this
	// object can write the hub anyway.
	PeerKey string `json:"peerKey"`
}

// key is PeerKey's bytes.
func (m *manifest) key() ([]byte, error) {
	key, err := hex.DecodeString(m.PeerKey)
	if err != nil || len(key) != peerKeyBytes {
		return nil, fmt.Errorf("%w: %s: peerKey is not %d bytes in hex", ErrFormat, manifestKey, peerKeyBytes)
	}
	return key, nil
}

const peerKeyBytes = 32

// hubFormat is the version of everything that a hub keeps in its bucket.
//
//	1: first version
const hubFormat = 1

// ErrLeases means that this host keeps sessions and roots elsewhere than the hub does.
var ErrLeases = errors.New("leases are kept elsewhere")

// ErrFormat means that the hub was written by a newer version, or is no hub.
var ErrFormat = errors.New("task hub has a format that this version does not know")

const manifestKey = "hub.json"

// openManifest reads hub.json. If there is none it creates one with so many
// partitions, after prepare has said that the store can be trusted.
func openManifest(ctx context.Context, s sched.Scheduler, store storage.Store, name, leases string, partitions int, prepare func() error) (m *manifest, created bool, err error) {
	b, err := readManifest(ctx, s, store)
	if errors.Is(err, storage.ErrNotFound) {
		if partitions < 1 {
			return nil, false, fmt.Errorf("a hub has at least one partition, not %d", partitions)
		}
		if prepare != nil {
			if err := prepare(); err != nil {
				return nil, false, err
			}
		}
		var id [16]byte
		var peers [peerKeyBytes]byte
		s.Random(id[:])
		s.Random(peers[:])
		m := manifest{Format: hubFormat, ID: hex.EncodeToString(id[:]), Name: name, Created: s.Now().UTC(), Hash: hashName, Leases: leases, PeerKey: hex.EncodeToString(peers[:])}
		for _, start := range evenPlacement(partitions).starts {
			m.Starts = append(m.Starts, fmt.Sprintf("%08x", start))
		}
		_, err = lease.Update(ctx, s, store, manifestKey, "", checked.Marshal(m))
		if err == nil {
			return &m, true, nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return nil, false, err
		}
		b, err = readManifest(ctx, s, store) // another host was faster
	}
	if err != nil {
		return nil, false, err
	}
	if m, err = decodeManifest(b); err == nil {
		err = m.checkLeases(leases)
	}
	return m, false, err
}

func (m *manifest) checkLeases(leases string) error {
	if m.Leases == leases {
		return nil
	}
	words := func(s string) string {
		if s == "" {
			return "its bucket"
		}
		return s
	}
	return fmt.Errorf("%w: the hub keeps them in %s, host.json says %s", ErrLeases, words(m.Leases), words(leases))
}

// openTimeout is when opening a hub gives up on a store that does not answer, and
// openAttempts after how many refusals, or damaged answers: a store that throttles for a
// moment must not end a host's start.
const (
	openTimeout  = 20 * time.Second
	openAttempts = 5
)

func readManifest(ctx context.Context, s sched.Scheduler, store storage.Store) ([]byte, error) {
	ctx, cancel := s.WithTimeout(ctx, openTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		b, _, err := store.Get(ctx, manifestKey)
		bad := err
		if err == nil {
			bad = checked.Check(b)
		}
		if bad == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrDenied) || attempt == openAttempts {
			return b, err
		}
		if err := verdict.Pause(ctx, s, attempt, bad); err != nil {
			return nil, err
		}
	}
}

// decodeManifest fails with a partition.CorruptError if b is damaged, or with ErrFormat.
func decodeManifest(b []byte) (*manifest, error) {
	m := &manifest{}
	if err := checked.Unmarshal(b, m); err != nil {
		return nil, &partition.CorruptError{Key: manifestKey, Err: err}
	}
	if m.Format != hubFormat {
		return nil, fmt.Errorf("%w: %s: format %d; this version knows %d", ErrFormat, manifestKey, m.Format, hubFormat)
	}
	if m.Hash != hashName {
		return nil, fmt.Errorf("%w: %s: hash %q", ErrFormat, manifestKey, m.Hash)
	}
	if _, err := m.placement(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *manifest) placement() (placement, error) {
	var p placement
	for n, text := range m.Starts {
		start, err := strconv.ParseUint(text, 16, 32)
		if err != nil || n == 0 && start != 0 || n > 0 && start <= uint64(p.starts[n-1]) {
			return p, fmt.Errorf("%w: %s: starts[%d]: %q", ErrFormat, manifestKey, n, text)
		}
		p.starts = append(p.starts, uint32(start))
	}
	if len(p.starts) == 0 {
		return p, fmt.Errorf("%w: %s: no partitions", ErrFormat, manifestKey)
	}
	return p, nil
}
