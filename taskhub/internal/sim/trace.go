package sim

import (
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
)

// trace remembers the last lines of what happened, and a hash of everything.
type trace struct {
	keep  int
	lines []string // a ring once it is full
	next  int
	hash  hash.Hash64
	buf   [16]byte
	print func(line string)
}

// mix adds an event to the hash.
func (t *trace) mix(a, b uint64) {
	binary.LittleEndian.PutUint64(t.buf[:8], a)
	binary.LittleEndian.PutUint64(t.buf[8:], b)
	_, _ = t.hash.Write(t.buf[:]) // a hash never fails
}

// tracef adds a line to the trace.
func (w *World) tracef(format string, args ...any) {
	t := &w.trace
	line := fmt.Sprintf("%14.6fs ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	_, _ = t.hash.Write([]byte(line)) // a hash never fails
	if t.print != nil {
		t.print(line)
	}
	if len(t.lines) < t.keep {
		t.lines = append(t.lines, line)
	} else if t.keep > 0 {
		t.lines[t.next] = line
		t.next = (t.next + 1) % t.keep
	}
}

// Hash identifies the course of the world so far.
func (w *World) Hash() uint64 { return w.trace.hash.Sum64() }

// Last is the end of the trace, line by line.
func (w *World) Last() string {
	t := &w.trace
	return strings.Join(append(append([]string{}, t.lines[t.next:]...), t.lines[:t.next]...), "\n")
}

// logWriter puts the log of a host into the trace. No object of the bucket is ever damaged
// but sessions, else answers alone are: a host that gives up a partition for it believes too soon.
type logWriter struct{ h *Host }

// Write implements io.Writer.
func (l logWriter) Write(b []byte) (int, error) {
	line := strings.TrimRight(string(b), "\n")
	l.h.w.tracef("%s | %s", l.h.name, line)
	if strings.Contains(line, "partition is parked") {
		l.h.w.fail("%s: %s", l.h.name, line)
	}
	return len(b), nil
}
