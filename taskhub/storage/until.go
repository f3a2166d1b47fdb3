package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrExpired means that a request came later than its context allows, see Until: this
// attempt was not applied and never will be. It says nothing about an earlier attempt of
// the same bytes, so it is no verdict on the write: whoever still has the right to it
// sends it again with a later moment, and waits for nil or ErrConflict as ever.
var ErrExpired = errors.New("request has expired")

// Until lets no Create, Replace or Delete that is made with the returned context take
// effect after a moment of the caller's wall clock. Reads are not concerned. A store that
// stands on this machine checks it where the change happens; a bucket gets a signature
// that expires (package s3), as far as it enforces that: no argument may rest on it alone
// (E§C3). Unlike a context's own deadline it does not end the wait for an answer.
// The last moment given counts.
func Until(ctx context.Context, at time.Time) context.Context {
	// Without the monotonic reading, which stands still while the machine is suspended:
	// just then the moment must pass.
	return &untilContext{Context: ctx, at: at.Round(0)}
}

// untilContext is one allocation on the path of every commit.
type untilContext struct {
	context.Context
	at time.Time
}

type untilKey struct{}

// Value implements context.Context.
func (c *untilContext) Value(key any) any {
	if _, ok := key.(untilKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// Deadline is the moment that Until gave, on the caller's wall clock; false if none did.
func Deadline(ctx context.Context) (time.Time, bool) {
	if c, ok := ctx.Value(untilKey{}).(*untilContext); ok {
		return c.at, true
	}
	return time.Time{}, false
}

// CheckDeadline is an ErrExpired if now, by the caller's wall clock, is not before the
// moment that Until gave.
func CheckDeadline(ctx context.Context, now time.Time) error {
	if at, ok := Deadline(ctx); ok && !now.Round(0).Before(at) {
		return fmt.Errorf("%w: it was good until %s, now it is %s", ErrExpired, at.UTC().Format(stamp), now.UTC().Format(stamp))
	}
	return nil
}

const stamp = "15:04:05.000"
