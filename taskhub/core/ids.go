package core

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/durafunc/durafunc/taskhub/history"
)

// CheckInstanceID is history.CheckInstanceID; its error is an ErrInvalidArgument.
func CheckInstanceID(id string) error {
	if err := history.CheckInstanceID(id); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
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
