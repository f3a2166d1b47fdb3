package storage_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
)

func TestCheckKey(t *testing.T) {
	long := strings.Repeat("x", 200)
	for key, valid := range map[string]bool{
		"a": true, "a/b/c": true, "A.b_c-d=e/0": true, "...": true, ".a": true, long: true,
		strings.Repeat("ab/", 299) + "abc": true, // 900 bytes

		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false,
		"a/../b": false, "a/.": false, "a b": false, "a~": false, "ä": false, "a\x00": false, "a\\b": false,
		long + "x": false, strings.Repeat("ab/", 300) + "a": false,
	} {
		if err := storage.CheckKey(key); (err == nil) != valid || err != nil && !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("CheckKey(%.30q) = %v, want valid %v", key, err, valid)
		}
	}
}

func TestPossiblePrefix(t *testing.T) {
	for prefix, possible := range map[string]bool{
		"": true, "a": true, "a/": true, "a/b": true, ".": true, "..": true, "a/.": true, "a/..": true,
		strings.Repeat("x", 200): true, strings.Repeat("x", 200) + "/": true,

		"/": false, "//": false, "a//": false, "../": false, "./": false, "a/../b": false, "/a": false,
		"a b": false, "~": false, strings.Repeat("x", 201): false,
	} {
		if got := storage.PossiblePrefix(prefix); got != possible {
			t.Errorf("PossiblePrefix(%.30q) = %v, want %v", prefix, got, possible)
		}
	}
}
