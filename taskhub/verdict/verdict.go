// Package verdict is how to get the truth out of a store whose answers can be lost, refused,
// late or garbled. Everything that the engine writes or reads under a lease goes through it.
//
// An error that is no verdict of the store says nothing about a write: it was applied, will
// be applied later, or never is. A Writer sends the same bytes again until the store says yes
// (nil) or no (storage.ErrConflict), and reads nothing before: an empty place after a lost
// answer proves nothing, a third of such writes landed later (E§A5.3). Whoever gets a
// conflict reads what stands there, since it may be the own write of an earlier attempt; what
// a place that is taken by another means is for the caller to say. A Reader asks until it has
// an answer, and again when the content is not what it should be, before it believes in damage.
//
// Both end with their context. What is left to the callers, and why: ADR 0034.
package verdict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Guard stands for the writer's lease.
type Guard interface {
	// Await returns at once while the lease is alive, waits for its renewal when it is
	// not, and fails when it is lost for good.
	Await(ctx context.Context) error
	// Sign lets no write that is made with the returned context take effect after the
	// moment up to which the lease can be trusted as far as is known now (storage.Until).
	// Each attempt is signed anew: the same bytes may go out again under a later moment,
	// since ownership was renewed meanwhile.
	Sign(ctx context.Context) context.Context
	// Refresh asks for a renewal and returns after it, or as Await fails. It follows a
	// storage.ErrExpired: too little of the lease was left, or it has ended.
	Refresh(ctx context.Context) error
}

// Unguarded is the Guard of what needs no lease.
type Unguarded struct{}

// Await implements Guard.
func (Unguarded) Await(context.Context) error { return nil }

// Sign implements Guard.
func (Unguarded) Sign(ctx context.Context) context.Context { return ctx }

// Refresh implements Guard.
func (Unguarded) Refresh(context.Context) error { return nil }

// Clock is what of a sched.Scheduler waiting needs.
type Clock interface {
	Random(b []byte)
	Sleep(ctx context.Context, d time.Duration) error
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// The pauses between attempts.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// Pause waits after attempt, counted from 0, and before the next: not after the first, then
// 20 ms doubling up to a second, each with jitter. It fails when ctx has ended, with ctx's
// cause and reason, the error of the attempt.
func Pause(ctx context.Context, c Clock, attempt int, reason error) error {
	if attempt > 0 {
		d := min(firstPause<<min(attempt-1, 10), longestPause)
		var b [1]byte
		c.Random(b[:])
		_ = c.Sleep(ctx, d/2+d*time.Duration(b[0])/512)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; last error: %w", context.Cause(ctx), reason)
	}
	return nil
}

// The errors after which asking again would bring the same: of writes beside a conflict, and
// of reads.
// ErrDenied is among neither: credentials are renewed under a process that runs, and a
// refusal says nothing about an attempt before it. ErrDamaged is among both, of whatever
// object: the store says that asking again does not help, and as long as somebody does, what
// is damaged is not told.
var (
	onWrites = []error{storage.ErrInvalidKey, storage.ErrTooLarge, storage.ErrDamaged}
	onReads  = []error{storage.ErrNotFound, storage.ErrInvalidKey, storage.ErrDamaged}
)

func isAny(err error, verdicts []error) bool {
	return slices.ContainsFunc(verdicts, func(v error) bool { return errors.Is(err, v) })
}
