//go:build !planted

package taskhub_test

import "testing"

// plant turns nothing on: without the tag there are no deliberate bugs, nor a flag for them.
func plant(*testing.T) {}
