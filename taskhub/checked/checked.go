// Package checked encodes the small objects of a hub with a checksum of their own: hub.json,
// sessions and roots (docs/decisions/0018). They stay JSON that people can read:
//
//	{
//	  "format": 1,
//	  …
//	  "sum": "sha256:<64 hex digits>"
//	}
//
// The last member is the SHA-256 of all bytes before its line, so that
// `head -n -2 root | sha256sum` tells it too. It is part of every format: a version that
// knows the object's format or not can tell first whether the object is whole.
//
// It is a leaf.
package checked

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrDamaged means that bytes are not what Marshal made: a bit was flipped, they were cut
// short, or somebody edited them.
var ErrDamaged = errors.New("damaged")

// CorruptError means that an object in the bucket is damaged or contradicts others. Its
// bytes are left as they are; a person decides.
type CorruptError struct {
	Key string // of the object, below the hub's prefix
	Err error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("corrupt object %s: %v", e.Key, e.Err) }
func (e *CorruptError) Unwrap() error { return e.Err }

const (
	sumName = `"sum"`
	sumHead = `  ` + sumName + `: "sha256:`
	sumTail = "\"\n}\n"
	// sumBytes is the length of what follows the content.
	sumBytes = len(sumHead) + 2*sha256.Size + len(sumTail)
)

// Marshal encodes v, which must become a JSON object with at least one member, and none
// named sum. Anything else is a mistake of the caller, and panics.
func Marshal(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	content, ok := bytes.CutSuffix(b, []byte("\n}"))
	if err != nil || !ok {
		panic(fmt.Sprintf("checked: %T does not become a JSON object with members: %v", v, err))
	}
	content = append(content, ",\n"...)
	return append(content, ending(content)...)
}

// Unmarshal decodes into v what Marshal made. An ErrDamaged says what to do.
func Unmarshal(b []byte, v any) error {
	if err := Check(b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// Check returns an ErrDamaged, which says what to do, unless Marshal made b.
func Check(b []byte) error {
	if at := len(b) - sumBytes; at >= 0 && string(b[at:]) == ending(b[:at]) {
		return nil
	}
	if !bytes.Contains(b, []byte(sumName)) {
		return fmt.Errorf("%w: %d bytes without a checksum at their end; put back the object as it was written, "+
			"or begin a new hub if this one is from before there were checksums", ErrDamaged, len(b))
	}
	return fmt.Errorf("%w: its checksum does not match; put back the object as it was written", ErrDamaged)
}

// ending is what follows content.
func ending(content []byte) string {
	sum := sha256.Sum256(content)
	return sumHead + hex.EncodeToString(sum[:]) + sumTail
}
