package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// The first page of a segment: magic, 4 zero bytes, nonce, and a CRC-32C of these; from
// markOffset on marks, each of which says up to where the segment is durable, with a CRC-32C of
// its own. Who opens the segment draws a mark and writes no other one: a process that was
// stopped in between takes back nothing that others have told. Frames follow.
const (
	firstFrame = 4096
	markOffset = 512
	markBytes  = 16
	marks      = (firstFrame - markOffset) / markBytes
)

var (
	segmentMagic = []byte{0xff, 'D', 'S', '1'}
	plainMagic   = []byte{0xff, 'D', 'P', '1'} // of a segment that says that there is no journal
)

// newFirstPage is the first page of a new segment.
func newFirstPage() []byte {
	b := make([]byte, firstFrame)
	copy(b, segmentMagic)
	_, _ = rand.Read(b[8:16]) // never fails
	appendCRC(b[:16])
	return b
}

// newPlainPage is the first segment of a folder without a journal.
func newPlainPage() []byte {
	b := newFirstPage()
	copy(b, plainMagic)
	return b
}

// isPlain reports whether the segment at path is one of newPlainPage.
func isPlain(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // who opens it hears why
	}
	defer f.Close()
	b := make([]byte, len(plainMagic))
	_, err = io.ReadFull(f, b)
	return err == nil && bytes.Equal(b, plainMagic)
}

// newMark is a mark that says that all before synced is durable.
func newMark(synced int64) []byte {
	b := appendCRC(binary.BigEndian.AppendUint64(nil, uint64(synced)))
	return append(b, make([]byte, markBytes-len(b))...)
}

// told is what the marks of a first page say, 0 if there are none.
func told(page []byte) (synced int64) {
	for b := range slices.Chunk(page[markOffset:firstFrame], markBytes) {
		if crc32.Checksum(b[:8], castagnoli) == binary.BigEndian.Uint32(b[8:]) {
			synced = max(synced, int64(binary.BigEndian.Uint64(b)))
		}
	}
	return synced
}

func appendCRC(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// neverUsed reports whether the segment at path has no frame, and never had one that was durable.
func neverUsed(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() > firstFrame {
		return false, err
	}
	page := make([]byte, firstFrame)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return told(page) <= firstFrame, nil
}
