package lease

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
)

// State is what a session record says of its holder.
type State string

// The states. Only a live session is renewed; the others are final.
const (
	Live    State = "live"
	Evicted State = "evicted" // another host declared the holder dead
	Closed  State = "closed"  // the holder ended in good order
)

// Record is the object of one session: JSON that people can read in the bucket, with a
// checksum (package checked).
type Record struct {
	Format int `json:"format"` // 1
	// ID ends in '-' and LeaseMillis: whoever finds the record damaged knows all the same how
	// long to wait for its holder.
	ID    string `json:"id"`
	State State  `json:"state"`
	// Version changes with every renewal; it is the nonce of the record.
	Version string `json:"version"`
	// LeaseMillis is how long an observer must see the same Version before it may
	// evict the holder.
	LeaseMillis int64 `json:"leaseMillis"`
	// Host, PID and Started tell a person which process it is.
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Machine and Lock let another process on the same machine prove that the holder
	// is dead: whoever can lock the file Lock knows that its holder is gone.
	Machine string `json:"machine,omitempty"`
	Lock    string `json:"lock,omitempty"`
	// Address is where the other hosts of the hub reach this one.
	Address string `json:"address,omitempty"`
}

const (
	recordFormat = 1
	// attemptTimeout is when an unanswered request is sent again.
	attemptTimeout = 3 * time.Second
	// clockJump is the difference between wall clock and boot clock from which the
	// lease is not trusted until a renewal succeeds: a hypervisor may have stopped one
	// of them (E§C3).
	clockJump = 2 * time.Second
)

// ErrLost means that the session ended: it was evicted or closed. Whatever its holder
// had not committed is redone by the next owner.
var ErrLost = errors.New("session lost")

// Config is what a session needs.
type Config struct {
	Register Register
	Sched    sched.Scheduler
	Prefix   string        // of session keys, ending in '/'
	Lease    time.Duration // see Record.LeaseMillis; renewed at a third of it
}

// Session is the right of this process to own partitions, as long as it is renewed. It is
// the verdict.Guard of everything that is written to them.
type Session struct {
	cfg Config
	id  string
	key string

	mu       sync.Mutex
	record   Record
	tag      storage.Tag
	renewed  time.Duration // Mono before the last successful renewal was sent
	wall     time.Time     // Now at the same moment
	next     sched.Signal  // fires at the next renewal, or when the session ends
	lost     error
	closing  bool
	ended    sched.Signal // no renewal follows
	nudge    sched.Signal // asks for a renewal now
	stop     context.CancelCauseFunc
	lostOnce sched.Signal
}

var _ verdict.Guard = (*Session)(nil)

// Open creates the session object and keeps renewing it until Close or eviction.
// The record's ID, State, Version and LeaseMillis are filled in.
func Open(ctx context.Context, cfg Config, about Record) (*Session, error) {
	var id [16]byte
	cfg.Sched.Random(id[:])
	about.Format, about.State, about.LeaseMillis = recordFormat, Live, cfg.Lease.Milliseconds()
	about.ID = hex.EncodeToString(id[:]) + "-" + strconv.FormatInt(about.LeaseMillis, 10)
	s := &Session{
		cfg: cfg, id: about.ID, key: cfg.Prefix + about.ID, record: about,
		next: cfg.Sched.NewSignal(), ended: cfg.Sched.NewSignal(), nudge: cfg.Sched.NewSignal(), lostOnce: cfg.Sched.NewSignal(),
	}
	s.record.Version = s.version()
	sent, wall := cfg.Sched.Mono(), cfg.Sched.Now()
	tag, err := Update(ctx, cfg.Sched, cfg.Register, s.key, "", s.record.encode())
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	s.tag, s.renewed, s.wall = tag, sent, wall
	run, stop := cfg.Sched.WithCancel(context.Background())
	s.stop = stop
	cfg.Sched.Go(func() { s.run(run) })
	return s, nil
}

// ID names the session; a process has a new one with every start.
func (s *Session) ID() string { return s.id }

// Lost fires when the session has ended for good.
func (s *Session) Lost() sched.Signal { return s.lostOnce }

func (s *Session) version() string {
	var v [12]byte
	s.cfg.Sched.Random(v[:])
	return hex.EncodeToString(v[:])
}

func (r Record) encode() []byte { return checked.Marshal(r) }

// leaseOf is the lease that the id of a session tells.
func leaseOf(id string) (millis int64, ok bool) {
	_, tail, _ := strings.Cut(id, "-")
	millis, err := strconv.ParseInt(tail, 10, 64)
	return millis, err == nil && millis > 0
}

// Decode reads a session record. One that is damaged is a checked.ErrDamaged.
func Decode(key string, b []byte) (Record, error) {
	var r Record
	if err := checked.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", key, err)
	}
	if r.Format != recordFormat {
		return r, fmt.Errorf("%s: session format %d; this version knows %d", key, r.Format, recordFormat)
	}
	return r, nil
}

// Margin is how long before the lease's end its holder stops trusting it.
func Margin(lease time.Duration) time.Duration { return min(max(2*time.Second, lease/5), lease/2) }

// Alive reports whether the lease can be trusted now. It counts from before the last
// successful renewal was sent, less the margin.
func (s *Session) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aliveLocked()
}

func (s *Session) aliveLocked() bool {
	if s.lost != nil {
		return false
	}
	passed := s.cfg.Sched.Mono() - s.renewed
	jump := s.cfg.Sched.Now().Sub(s.wall) - passed
	return passed < s.cfg.Lease-Margin(s.cfg.Lease) && jump < clockJump && jump > -clockJump
}

// Until is the moment of this host's wall clock up to which the lease can be trusted, as
// far as is known now; a moment that is over if it cannot. The margin is off already, so
// a store may be as late as that in noticing (E§C3).
func (s *Session) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The wall clock first: a freeze between the two readings makes the rest shorter,
	// never longer.
	now := s.cfg.Sched.Now()
	if !s.aliveLocked() {
		return now
	}
	passed := s.cfg.Sched.Mono() - s.renewed
	return now.Add(s.cfg.Lease - Margin(s.cfg.Lease) - passed)
}

// Sign implements verdict.Guard: what is written with the returned context takes no
// effect after Until.
func (s *Session) Sign(ctx context.Context) context.Context { return storage.Until(ctx, s.Until()) }

// Refresh implements verdict.Guard: it renews now and returns when that has succeeded.
func (s *Session) Refresh(ctx context.Context) error {
	s.mu.Lock()
	lost, next, nudge := s.lost, s.next, s.nudge
	s.mu.Unlock()
	if lost != nil {
		return lost
	}
	nudge.Fire()
	if err := next.Wait(ctx); err != nil {
		return err
	}
	return s.Await(ctx)
}

// Await returns nil as soon as the lease can be trusted. A renewal that succeeds
// proves unbroken ownership however late it comes, since an evictor would have
// changed the record; so a store that was away for minutes costs no takeover.
func (s *Session) Await(ctx context.Context) error {
	for {
		s.mu.Lock()
		lost, alive, next, nudge := s.lost, s.aliveLocked(), s.next, s.nudge
		s.mu.Unlock()
		if lost != nil {
			return lost
		}
		if alive {
			return nil
		}
		nudge.Fire()
		if err := next.Wait(ctx); err != nil {
			return err
		}
	}
}

// run renews until the session ends.
func (s *Session) run(ctx context.Context) {
	defer s.ended.Fire()
	for {
		s.mu.Lock()
		nudge := s.nudge
		s.mu.Unlock()
		wait, cancel := s.cfg.Sched.WithTimeout(ctx, s.cfg.Lease/3)
		_ = nudge.Wait(wait)
		cancel()
		s.mu.Lock()
		s.nudge = s.cfg.Sched.NewSignal()
		stop := s.closing || ctx.Err() != nil
		s.mu.Unlock()
		if stop {
			return
		}
		if err := s.renew(ctx); err != nil && ctx.Err() == nil {
			s.end(fmt.Errorf("%w: %w", ErrLost, err))
			_ = s.closeDamaged(ctx, err) // else others close it when its lease has run out
			return
		}
	}
}

// renew replaces the record under a new version. A conflict means that another host
// has evicted this one: nobody else writes this object.
func (s *Session) renew(ctx context.Context) error {
	s.mu.Lock()
	r, tag := s.record, s.tag
	s.mu.Unlock()
	r.Version = s.version()
	sent, wall := s.cfg.Sched.Mono(), s.cfg.Sched.Now()
	tag, err := Update(ctx, s.cfg.Sched, s.cfg.Register, s.key, tag, r.encode())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.record, s.tag, s.renewed, s.wall = r, tag, sent, wall
	fired := s.next
	s.next = s.cfg.Sched.NewSignal()
	s.mu.Unlock()
	fired.Fire()
	return nil
}

func (s *Session) end(err error) {
	s.mu.Lock()
	if s.lost == nil {
		s.lost = err
	}
	fired := s.next
	s.mu.Unlock()
	fired.Fire()
	s.lostOnce.Fire()
}

// Close marks the session as closed, so that others need not wait for its lease.
// Partitions must be released before.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	already := s.closing || s.lost != nil
	s.closing = true
	nudge := s.nudge
	s.mu.Unlock()
	if already {
		s.stop(ErrLost)
		return nil
	}
	nudge.Fire()
	if err := s.ended.Wait(ctx); err != nil {
		s.stop(ErrLost)
		return err
	}
	s.mu.Lock()
	r, tag := s.record, s.tag
	s.mu.Unlock()
	r.State, r.Version = Closed, s.version()
	_, err := Update(ctx, s.cfg.Sched, s.cfg.Register, s.key, tag, r.encode())
	s.end(fmt.Errorf("%w: closed", ErrLost))
	if err != nil {
		err = s.closeDamaged(ctx, err)
	}
	s.stop(ErrLost)
	return err
}

// closeDamaged marks the record as closed if the holder lost it to damage and not to another host,
// so that nobody waits for a lease that nobody holds. It cannot be mended instead: it may
// have been an eviction before it was damaged. To say that the holder has ended, as it has,
// is true either way. reason is why the record could not be written; it is returned unless
// the record was damaged and is closed now.
func (s *Session) closeDamaged(ctx context.Context, reason error) error {
	if !errors.Is(reason, storage.ErrConflict) || !errors.Is(reason, checked.ErrDamaged) {
		return reason
	}
	b, tag, err := Read(ctx, s.cfg.Sched, s.cfg.Register, s.key)
	if err != nil || checked.Check(b) == nil {
		return reason
	}
	s.mu.Lock()
	r := s.record
	s.mu.Unlock()
	r.State, r.Version = Closed, s.version()
	_, err = Update(ctx, s.cfg.Sched, s.cfg.Register, s.key, tag, r.encode())
	return err
}
