package storage

import "strings"

// PossiblePrefix reports whether any valid key starts with prefix. If not, a listing
// is empty without asking: some stores answer an error to such prefixes, and on a
// file system "../" would lead out of the store.
func PossiblePrefix(prefix string) bool {
	switch prefix[strings.LastIndexByte(prefix, '/')+1:] {
	case "", ".", "..": // the start of a segment, if not a whole one
		prefix += "x"
	}
	return CheckKey(prefix) == nil
}
