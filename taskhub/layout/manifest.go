package layout

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// Manifest is hub.json: what a task hub is, written once when it is created. It carries a
// checksum (package checked). One that Open or Read returned is valid.
type Manifest struct {
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

	ranges Ranges
	key    []byte
}

const peerKeyBytes = 32

// Format is the version of everything that a hub keeps in its bucket.
//
//	1: first version
const Format = 1

// ErrLeases means that this host keeps sessions and roots elsewhere than the hub does.
var ErrLeases = errors.New("leases are kept elsewhere")

// ErrFormat means that the hub was written by a newer version, or is no hub.
var ErrFormat = errors.New("task hub has a format that this version does not know")

// ManifestKey is the key of the manifest.
const ManifestKey = "hub.json"

// ErrNoHub means that there is no task hub under the prefix.
var ErrNoHub = errors.New("no task hub there")

// Wanted is the hub that is to be opened, and how it is created if it does not exist.
type Wanted struct {
	Name string
	// Leases says in words where sessions and roots are kept, the same for all hosts of the
	// hub; "" for the hub's own bucket.
	Leases string
	// Partitions is how many a new hub gets, at least one.
	Partitions int
	// Prepare, if not nil, is called before a hub is created; its error refuses it.
	Prepare func() error
}

// Open reads hub.json, or creates it when there is none; created reports which. Errors are
// ErrFormat, ErrLeases, a *checked.CorruptError, those of w.Prepare and the store's.
func Open(ctx context.Context, s sched.Clock, store storage.Store, w Wanted) (m *Manifest, created bool, err error) {
	b, err := read(ctx, s, store)
	if errors.Is(err, storage.ErrNotFound) {
		m, err = create(ctx, s, store, w)
		if err == nil {
			return m, true, nil
		}
		if !errors.Is(err, errCreated) {
			return nil, false, err
		}
		b, err = read(ctx, s, store) // another host was faster
	}
	if err != nil {
		return nil, false, err
	}
	m, err = decode(b, w.Leases)
	return m, false, err
}

// errCreated means that another host has created the hub meanwhile.
var errCreated = errors.New("the hub exists")

// create writes hub.json, or returns errCreated.
func create(ctx context.Context, s sched.Clock, store storage.Store, w Wanted) (*Manifest, error) {
	if w.Partitions < 1 {
		return nil, fmt.Errorf("a hub has at least one partition, not %d", w.Partitions)
	}
	if w.Prepare != nil {
		if err := w.Prepare(); err != nil {
			return nil, err
		}
	}
	var id [16]byte
	var peers [peerKeyBytes]byte
	s.Random(id[:])
	s.Random(peers[:])
	m := &Manifest{
		Format: Format, ID: hex.EncodeToString(id[:]), Name: w.Name, Created: s.Now().UTC(), Hash: hashName,
		Leases: w.Leases, PeerKey: hex.EncodeToString(peers[:]), ranges: Even(w.Partitions), key: peers[:],
	}
	for _, start := range m.ranges.starts {
		m.Starts = append(m.Starts, fmt.Sprintf("%08x", start))
	}
	_, err := lease.Update(ctx, s, store, ManifestKey, "", checked.Marshal(m))
	if errors.Is(err, storage.ErrConflict) {
		return nil, errCreated
	}
	return m, err
}

// Read reads hub.json once, as it is, for somebody who takes no part in the hub. Errors are
// ErrNoHub, ErrFormat, ErrLeases, a *checked.CorruptError and the store's.
func Read(ctx context.Context, store storage.Store, leases string) (*Manifest, error) {
	b, _, err := store.Get(ctx, ManifestKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNoHub
	}
	if err != nil {
		return nil, err
	}
	return decode(b, leases)
}

// Ranges says which partition serves which instance.
func (m *Manifest) Ranges() Ranges { return m.ranges }

// PeerSecret is PeerKey's bytes.
func (m *Manifest) PeerSecret() []byte { return m.key }

func (m *Manifest) checkLeases(leases string) error {
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

func read(ctx context.Context, s sched.Clock, store storage.Store) ([]byte, error) {
	ctx, cancel := s.WithTimeout(ctx, openTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		b, _, err := store.Get(ctx, ManifestKey)
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

// decode fails with a checked.CorruptError if b is damaged, with ErrFormat or ErrLeases.
func decode(b []byte, leases string) (*Manifest, error) {
	m := &Manifest{}
	if err := checked.Unmarshal(b, m); err != nil {
		return nil, &checked.CorruptError{Key: ManifestKey, Err: err}
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%w: %s: format %d; this version knows %d", ErrFormat, ManifestKey, m.Format, Format)
	}
	if m.Hash != hashName {
		return nil, fmt.Errorf("%w: %s: hash %q", ErrFormat, ManifestKey, m.Hash)
	}
	if err := m.readRanges(); err != nil {
		return nil, err
	}
	var err error
	if m.key, err = hex.DecodeString(m.PeerKey); err != nil || len(m.key) != peerKeyBytes {
		return nil, fmt.Errorf("%w: %s: peerKey is not %d bytes in hex", ErrFormat, ManifestKey, peerKeyBytes)
	}
	if err := m.checkLeases(leases); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Manifest) readRanges() error {
	var r Ranges
	for n, text := range m.Starts {
		start, err := strconv.ParseUint(text, 16, 32)
		if err != nil || n == 0 && start != 0 || n > 0 && start <= uint64(r.starts[n-1]) {
			return fmt.Errorf("%w: %s: starts[%d]: %q", ErrFormat, ManifestKey, n, text)
		}
		r.starts = append(r.starts, uint32(start))
	}
	if len(r.starts) == 0 {
		return fmt.Errorf("%w: %s: no partitions", ErrFormat, ManifestKey)
	}
	m.ranges = r
	return nil
}
