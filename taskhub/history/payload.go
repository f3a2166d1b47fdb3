package history

import (
	"fmt"
	"strconv"
	"strings"
)

// InlineBytes is the size up to which a payload travels inside events. A larger
// one is stored once as an object and passed by reference (E§A5.5: the knee of
// object-store latency is at 128 KiB).
const InlineBytes = 64 << 10

// refMark begins a reference. JSON text cannot begin with it.
const refMark = "\x01"

// PayloadRef names a stored payload: the object payload/<Name> of a partition.
type PayloadRef struct {
	Partition int
	Name      string // <epoch>-<n>
	Bytes     int64
	SHA256    string // hex, of the payload's bytes
}

// String is the reference as it stands in an event in the payload's place:
// a mark that no JSON text begins with, then the fields separated by spaces.
func (r PayloadRef) String() string {
	return fmt.Sprintf("%s%d %s %d %s", refMark, r.Partition, r.Name, r.Bytes, r.SHA256)
}

// IsPayloadRef reports whether text is a reference and not a payload.
func IsPayloadRef(text string) bool { return strings.HasPrefix(text, refMark) }

// ParsePayloadRef reads what String wrote.
func ParsePayloadRef(text string) (PayloadRef, error) {
	f := strings.Fields(strings.TrimPrefix(text, refMark))
	if !IsPayloadRef(text) || len(f) != 4 {
		return PayloadRef{}, fmt.Errorf("payload reference of %d bytes is malformed", len(text))
	}
	p, err1 := strconv.Atoi(f[0])
	n, err2 := strconv.ParseInt(f[2], 10, 64)
	if err1 != nil || err2 != nil || p < 0 || n < 0 || len(f[3]) != 64 {
		return PayloadRef{}, fmt.Errorf("payload reference of %d bytes is malformed", len(text))
	}
	return PayloadRef{Partition: p, Name: f[1], Bytes: n, SHA256: f[3]}, nil
}
