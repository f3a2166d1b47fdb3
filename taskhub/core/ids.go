package core

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxInstanceID is the longest instance id in bytes (F§14 D15).
const MaxInstanceID = 256

// CheckInstanceID says whether id may name an instance (F§2.1 K3): 1 to 256 bytes of
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
