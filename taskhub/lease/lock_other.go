//go:build !unix

package lease

import (
	"errors"
	"os"
)

// tryLock is not there: a restarted host waits for its predecessor's lease.
func tryLock(*os.File) error { return errors.ErrUnsupported }

func look(*os.File) error { return errors.ErrUnsupported }
