package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// kind is what a frame does. Values are part of the format.
type kind byte

const (
	create  kind = 1
	replace kind = 2
	erase   kind = 3
	seal    kind = 4
	note    kind = 5 // does nothing; its header may declare a stretch void
)

// Digest is the beginning of the SHA-256 of an object's body.
type Digest [16]byte

// stretch is a part of a segment, without its end.
type stretch struct{ from, to int64 }

// version names one write of an object: where its body stands.
type version struct {
	segment uint64
	offset  int64
}

// header is what stands before a body. Numbers are big-endian:
//
//	 0   4  magic; its first byte is in no UTF-8 text; the last is the format's version
//	 4   1  kind
//	 5   3  zero
//	 8   8  the segment's nonce: no payload can hold what looks like a frame
//	16   8  number of the object
//	24   8  time of the write, Unix nanoseconds
//	32   8  up to where the segment was durable
//	40  16  a stretch that is void: from, to
//	56  16  the version that a replace is for: segment, offset
//	72  16  digest of the body
//	88   4  length of the body, which follows
//	92   4  CRC-32C of everything before it
type header struct {
	kind   kind
	nonce  [8]byte
	number uint64
	time   int64
	synced int64
	void   stretch
	old    version
	digest Digest
	size   int64
}

const headerBytes = 96

var (
	magic      = []byte{0xff, 'D', 'J', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func (h *header) append(b []byte) []byte {
	at := len(b)
	b = append(b, magic...)
	b = append(b, byte(h.kind), 0, 0, 0)
	b = append(b, h.nonce[:]...)
	for _, v := range [...]int64{
		int64(h.number), h.time, h.synced, h.void.from, h.void.to, int64(h.old.segment), h.old.offset,
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = append(b, h.digest[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.size))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// decodeHeader reports whether b, of headerBytes, is a header of the segment with that nonce.
func decodeHeader(b []byte, nonce [8]byte) (h header, ok bool) {
	if !bytes.HasPrefix(b, magic) || [8]byte(b[8:]) != nonce ||
		crc32.Checksum(b[:headerBytes-4], castagnoli) != binary.BigEndian.Uint32(b[headerBytes-4:]) {
		return h, false
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	h = header{
		kind: kind(b[4]), nonce: nonce, number: uint64(number(16)), time: number(24), synced: number(32),
		void: stretch{number(40), number(48)}, old: version{uint64(number(56)), number(64)},
		digest: Digest(b[72:]), size: int64(binary.BigEndian.Uint32(b[88:])),
	}
	return h, h.kind >= create && h.kind <= note
}

// digestOfNothing is the digest of an empty body.
var digestOfNothing = Digest{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24}
