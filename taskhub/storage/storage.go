// Package storage is the object contract on which a task hub stands: five verbs
// over small whole objects. Package s3, file and memory implement it; storagetest
// is the suite that all of them pass; faulty and metered wrap a Store.
//
// The contract promises only what the weakest store that we accept does (E§A5):
// no conditional delete, no conditional get, no key that is a folder of another.
// It imports the standard library and nothing else.
package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// Tag names one version of an object's content. It is opaque, compared for
// equality only, and a hash of the content on some stores: an object that is
// replaced must carry a fresh nonce, or an old tag can come back (E§A5.2).
type Tag string

// Entry is one object of a listing.
type Entry struct {
	Key      string
	Size     int64
	Tag      Tag       // empty on a store that would have to read the object for it (file)
	Modified time.Time // by the store's clock
}

// Store holds whole objects of at most MaxObject bytes by key. A read sees every
// write that returned before it began, listings included. Methods may be called
// concurrently, never retry by themselves, and do not keep body.
//
// Errors: ErrNotFound, ErrConflict, ErrDenied, ErrInvalidKey, ErrTooLarge and ErrDamaged are
// verdicts. Any other error of Create or Replace leaves the outcome unknown: the
// write was applied, will be applied later, or never is. It is resolved by sending
// the same bytes again until nil or ErrConflict, and only then by reading
// (E§A5.3: a third of "not there" writes landed later). ErrExpired is such an error too,
// but for the one attempt that got it: see Until.
type Store interface {
	// Get returns the object and its tag, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, Tag, error)

	// Create writes key only if it is absent, else ErrConflict. Of any number of
	// racing creators exactly one succeeds.
	Create(ctx context.Context, key string, body []byte) (Tag, error)

	// Replace writes key only if its tag is still old, else ErrConflict; a missing
	// key is ErrConflict too. Of any number of racing writers with one tag
	// exactly one succeeds.
	Replace(ctx context.Context, key string, old Tag, body []byte) (Tag, error)

	// Delete removes key. Deleting an absent key succeeds.
	Delete(ctx context.Context, key string) error

	// List yields, in byte order of keys, the objects whose key starts with prefix
	// and is greater than after (which need not exist; "" for all). It ends at the
	// first error. An object written or deleted while the listing runs may or may
	// not show.
	List(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
}

// Sentinels of a Store. Implementations wrap them with the verb and the key.
var (
	// ErrNotFound means that no object has the key.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that a condition did not hold: the key exists (Create), or
	// its tag moved or it is gone (Replace). It may be our own earlier attempt.
	ErrConflict = errors.New("condition not met")
	// ErrDenied means that the store refused the credentials or the action.
	ErrDenied = errors.New("access denied")
	// ErrInvalidKey means that the key breaks CheckKey's rules; nothing was sent.
	ErrInvalidKey = errors.New("invalid key")
	// ErrTooLarge means that the body exceeds MaxObject; nothing was sent.
	ErrTooLarge = errors.New("object too large")
	// ErrDamaged means that the store cannot tell what it has there, and that asking again
	// does not help. Its message names the file.
	ErrDamaged = errors.New("damaged")
)

// MaxObject is the largest body in bytes, the biggest payload plus its frame.
const MaxObject = 72 << 20

// CheckKey reports whether every store can hold key: '/'-separated segments of 1 to
// 200 bytes out of letters, digits, '.', '_', '-' and '=', none of them "." or
// "..", 900 bytes in all (MinIO and posix gateways refuse or lose others; see
// ecosystem measurements in docs/architecture.md).
func CheckKey(key string) error {
	if key == "" || len(key) > 900 {
		return fmt.Errorf("%w: %q: must be 1 to 900 bytes", ErrInvalidKey, key)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg == "." || seg == ".." || len(seg) > 200 {
			return fmt.Errorf("%w: %q: segment %q", ErrInvalidKey, key, seg)
		}
		for i := range len(seg) {
			c := seg[i]
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			case c == '.', c == '_', c == '-', c == '=':
			default:
				return fmt.Errorf("%w: %q: byte %q", ErrInvalidKey, key, c)
			}
		}
	}
	return nil
}
