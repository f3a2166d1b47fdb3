package core

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxInstanceID is the longest instance id in bytes (F§14 D15).
const MaxInstanceID = 256

// CheckInstanceID reports whether id may name an instance (F§2.1 K3): 1 to 256 bytes of
// UTF-8, no '/', '\', '#', '?' or control characters, no leading '@'. The error is an
// ErrInvalidArgument.
func CheckInstanceID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: instance id is empty", ErrInvalidArgument)
	case len(id) > MaxInstanceID:
		return fmt.Errorf("%w: instance id has %d bytes, at most %d are allowed", ErrInvalidArgument, len(id), MaxInstanceID)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: instance id %q is not UTF-8", ErrInvalidArgument, id)
	case id[0] == '@':
		return fmt.Errorf("%w: instance id %q begins with '@', which is for entities", ErrInvalidArgument, id)
	}
	if at := strings.IndexFunc(id, func(r rune) bool {
		return strings.ContainsRune(`/\#?`, r) || unicode.IsControl(r)
	}); at >= 0 {
		return fmt.Errorf("%w: instance id %q has a forbidden character at byte %d (none of / \\ # ? or control characters)",
			ErrInvalidArgument, id, at)
	}
	return nil
}

// MaxRequestID is the longest request id in characters.
const MaxRequestID = 128

// CheckRequestID reports whether id may name a request: 1 to 128 characters of UTF-8
// without control characters. The error is an ErrInvalidArgument.
func CheckRequestID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: request id is empty", ErrInvalidArgument)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: request id %q is not UTF-8", ErrInvalidArgument, id)
	case utf8.RuneCountInString(id) > MaxRequestID:
		return fmt.Errorf("%w: request id has %d characters, at most %d are allowed", ErrInvalidArgument, utf8.RuneCountInString(id), MaxRequestID)
	case strings.IndexFunc(id, unicode.IsControl) >= 0:
		return fmt.Errorf("%w: request id %q has a control character", ErrInvalidArgument, id)
	}
	return nil
}

// InstanceOfRequest is the id of an instance that is started without one by a request
// that has an id: a retry asks for the same instance, and so comes to the same partition.
func InstanceOfRequest(requestID string) string { return hashID("start", requestID) }
