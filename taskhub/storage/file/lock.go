package file

import (
	"context"
	"hash/fnv"
	"os"
	"time"
)

// stripes is the number of lock files. Few objects are ever replaced (roots,
// sessions), so two of them seldom share one.
const stripes = 64

const (
	firstLockWait = 100 * time.Microsecond
	maxLockWait   = 5 * time.Millisecond
)

// stripe serialises the writers of its keys: those of this process by the channel,
// processes by the lock on the file. The file is opened once and only touched by
// the holder of the channel, because a lock belongs to the open file.
type stripe struct {
	holder chan struct{}
	path   string
	file   *os.File
}

func (l *stripe) init(path string) {
	l.path = path
	l.holder = make(chan struct{}, 1)
}

// lock takes the stripe of key and returns the function that gives it back.
func (s *Store) lock(ctx context.Context, key string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	l := &s.locks[h.Sum32()%stripes]
	select {
	case l.holder <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := l.lockFile(ctx); err != nil {
		<-l.holder
		return nil, err
	}
	return func() {
		if unlockFile(l.file) != nil {
			// Closing always unlocks; the next holder opens again.
			l.file.Close()
			l.file = nil
		}
		<-l.holder
	}, nil
}

// lockFile polls rather than blocks in the kernel, where no context could end the
// wait for a process that is stopped.
func (l *stripe) lockFile(ctx context.Context) error {
	if l.file == nil {
		f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, filePerm)
		if err != nil {
			return verdict(err)
		}
		l.file = f
	}
	for wait := firstLockWait; ; wait = min(2*wait, maxLockWait) {
		ok, err := tryLockFile(l.file)
		if ok || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (l *stripe) close() error {
	l.holder <- struct{}{}
	defer func() { <-l.holder }()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
