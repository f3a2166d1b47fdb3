package layout

import (
	"hash/fnv"
	"math/bits"
)

// Ranges maps instance ids to partitions: a partition is a range of the id's hash, so
// that a hub can later be split by writing new ranges. starts[n] is where partition n
// begins; the first is 0.
type Ranges struct{ starts []uint32 }

// Even cuts the hash into n ranges of one size.
func Even(n int) Ranges {
	r := Ranges{starts: make([]uint32, n)}
	for i := range r.starts {
		r.starts[i] = uint32(uint64(i) << 32 / uint64(n))
	}
	return r
}

// Len is the number of partitions.
func (r Ranges) Len() int { return len(r.starts) }

// Of is the partition of an instance id.
func (r Ranges) Of(id string) int {
	h := hashOf(id)
	for n := len(r.starts) - 1; n > 0; n-- {
		if h >= r.starts[n] {
			return n
		}
	}
	return 0
}

// hashOf is FNV-1a of the id's bytes, finished so that its high bits, which choose the
// range, depend on all of them. It is part of the format: hub.json names it.
func hashOf(id string) uint32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash never fails
	x := h.Sum64() * 0x9E3779B97F4A7C15
	return uint32(bits.RotateLeft64(x, 32) ^ x>>16)
}

// hashName is the name of hashOf in hub.json.
const hashName = "fnv1a64-golden"
