package registertest_test

import (
	"testing"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/lease/registertest"
	"github.com/durafunc/durafunc/taskhub/storage/memory"
)

// Objects of a store are the default register.
func TestObjects(t *testing.T) {
	registertest.Run(t, func(*testing.T) lease.Register { return memory.New() })
}
