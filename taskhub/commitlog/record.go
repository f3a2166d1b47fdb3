// Package commitlog is a partition's log: numbered, create-only objects that carry
// commits. It says what a record looks like, how one is put so that a lost answer
// does no harm, and how the tail is read.
//
// It imports storage, sched and a compressor.
package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// Kind is what a record is for.
type Kind byte

// The kinds. Values are part of the format.
const (
	// Commit carries a mutation batch.
	Commit Kind = 1
	// Epoch announces a new owner: it fences every owner of a lower epoch out of the
	// slots that follow. It carries nothing.
	Epoch Kind = 2
)

// Digest is the SHA-256 of a whole encoded record.
type Digest = [sha256.Size]byte

// Record is one slot of the log.
type Record struct {
	Kind      Kind
	Hub       string // hub id; at most 255 bytes
	Session   string // of the writer; at most 255 bytes
	Partition int
	Epoch     uint64
	Seq       uint64   // the slot
	Nonce     [16]byte // fresh for each record: tells our own write from another's
	Prev      Digest   // of the record before it, zero for the first
	Body      []byte   // mutation batch (package kv)
}

// The encoding, numbers big-endian:
//
//	 0   4  magic "DFL1"; the digit is the format version
//	 4   1  kind
//	 5   1  body encoding: 0 as it is, 1 zstd
//	 6   2  partition
//	 8   8  epoch
//	16   8  seq
//	24  16  nonce
//	40  32  digest of the previous record
//	72   1  length of hub id, then the hub id
//	     1  length of session id, then the session id
//	     4  length of the body before compression
//	     4  length of the body as it follows, then the body
//	     4  CRC-32C of everything before it
const (
	magic      = "DFL1"
	fixedBytes = 72
	// maxBody bounds what a decoder allocates for a body.
	maxBody = 256 << 20
	// A zstd block of at least 4 bytes makes at most 128 KiB, so few bytes cannot
	// claim a body that it would cost much to allocate.
	zstdBlock     = 128 << 10
	zstdBlockCost = 4
	// plainBelow is the body size up to which compression is not worth it: such a record
	// fits a block of a disk as it is, a bucket bills requests, and a commit that holds one
	// step does not wait the 50 µs that zstd takes with a cold cache.
	plainBelow = 3 << 10
)

const (
	bodyPlain byte = 0
	bodyZstd  byte = 1
)

// ErrMalformed means that bytes are no valid record: damaged, or something else.
var ErrMalformed = errors.New("malformed log record")

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// Both are safe for concurrent EncodeAll and DecodeAll.
	encoder    = newEncoder()
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecodeAllCapLimit(true))
)

// newEncoder makes an encoder that has begun: its first use makes a channel, which would
// belong to a single test when that is in virtual time.
func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // an option is wrong
	}
	e.EncodeAll(nil, nil)
	return e
}

// Encode is the record as bytes.
func (r *Record) Encode() []byte {
	b := make([]byte, fixedBytes, fixedBytes+2+len(r.Hub)+len(r.Session)+12+len(r.Body)/2+64)
	copy(b, magic)
	b[4] = byte(r.Kind)
	binary.BigEndian.PutUint16(b[6:], uint16(r.Partition))
	binary.BigEndian.PutUint64(b[8:], r.Epoch)
	binary.BigEndian.PutUint64(b[16:], r.Seq)
	copy(b[24:], r.Nonce[:])
	copy(b[40:], r.Prev[:])
	for _, s := range []string{r.Hub, r.Session} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Body)))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	if len(r.Body) >= plainBelow {
		b[5] = bodyZstd
		b = encoder.EncodeAll(r.Body, b)
	} else {
		b = append(b, r.Body...)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Decode reads what Encode wrote. The error is an ErrMalformed.
func Decode(b []byte) (*Record, error) {
	bad := func(what string) (*Record, error) {
		return nil, fmt.Errorf("%w of %d bytes: %s", ErrMalformed, len(b), what)
	}
	if len(b) < fixedBytes+2+8+4 {
		return bad("too short")
	}
	if string(b[:4]) != magic {
		return bad(fmt.Sprintf("begins with %q, not %q", b[:4], magic))
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return bad("checksum does not match")
	}
	r := &Record{
		Kind: Kind(b[4]), Partition: int(binary.BigEndian.Uint16(b[6:])),
		Epoch: binary.BigEndian.Uint64(b[8:]), Seq: binary.BigEndian.Uint64(b[16:]),
	}
	copy(r.Nonce[:], b[24:])
	copy(r.Prev[:], b[40:])
	rest := b[fixedBytes:end]
	for _, s := range []*string{&r.Hub, &r.Session} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return bad("header is cut short")
		}
		*s = string(rest[1 : 1+rest[0]])
		rest = rest[1+rest[0]:]
	}
	if len(rest) < 8 {
		return bad("header is cut short")
	}
	size, stored := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
	rest = rest[8:]
	if int(stored) != len(rest) || size > maxBody {
		return bad("body length does not match")
	}
	switch b[5] {
	case bodyPlain:
		r.Body = rest
	case bodyZstd:
		if uint64(size) > zstdBlock*uint64(len(rest)/zstdBlockCost+1) {
			return bad("body length cannot be true")
		}
		// The decoder writes into this capacity and nowhere else.
		body, err := decoder.DecodeAll(rest, make([]byte, 0, size))
		if err != nil {
			return bad("body: " + err.Error())
		}
		r.Body = body
	default:
		return bad(fmt.Sprintf("body encoding %d is unknown", b[5]))
	}
	if len(r.Body) != int(size) {
		return bad("body length does not match")
	}
	if r.Kind != Commit && r.Kind != Epoch {
		return bad(fmt.Sprintf("kind %d is unknown", r.Kind))
	}
	return r, nil
}
