// Package checkpoint keeps a partition's working state and freezes it into immutable
// files: an embedded LSM (Pebble) on a local disk that may be lost at any moment, or
// a plain map for tests and the simulator. Truth is the checkpoint in the bucket plus
// the log; what stands here is a cache of it.
//
// It imports kv, storage, sched and Pebble, and is the only package that does.
package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/kv"
)

// Position is the log record up to which a state is complete.
type Position struct {
	Seq    uint64
	Epoch  uint64 // the highest epoch seen up to there
	Digest [sha256.Size]byte
}

// DB is a partition's working state. One goroutine calls Apply; Freeze, Get and Scan
// may run beside it.
type DB interface {
	kv.Reader
	// Apply carries out a mutation batch and moves the position, both or neither.
	Apply(ops []byte, at Position) error
	// Position is where the last Apply, or the restored files, left it.
	Position() Position
	// Freeze makes everything applied before the call immutable and lists the files
	// that hold it. The state in the files may be newer than the position returned:
	// replaying records that it holds already changes nothing, because mutations
	// are physical. Release must be called when the files were read.
	Freeze() (Frozen, error)
	// Close ends the use of the state and removes it.
	Close() error
}

// Frozen is a set of immutable files.
type Frozen struct {
	At      Position
	Files   []File
	Release func()
}

// File is one of them. A file that is Shared keeps its content for ever under its
// name, so it needs to be uploaded once; others differ between two Freezes.
type File struct {
	Name   string
	Shared bool
	Read   func() ([]byte, error)
}

// Opener makes working states.
type Opener interface {
	// Begin prepares a state of that name; one that was left there is removed.
	Begin(name string) (Builder, error)
}

// Builder takes the files of a checkpoint, if there is one, and opens the state.
type Builder interface {
	// Add keeps one file. It may be called concurrently; body may be kept.
	Add(file string, body []byte) error
	// Open opens the state that the files hold, or an empty one.
	Open() (DB, error)
}

// positionKey holds the Position inside the state, so that both move together.
var positionKey = []byte{0}

func encodePosition(p Position) []byte {
	b := binary.BigEndian.AppendUint64(nil, p.Seq)
	b = binary.BigEndian.AppendUint64(b, p.Epoch)
	return append(b, p.Digest[:]...)
}

func decodePosition(b []byte) (Position, error) {
	var p Position
	if len(b) == 0 {
		return p, nil
	}
	if len(b) != 16+sha256.Size {
		return p, fmt.Errorf("checkpoint: position of %d bytes", len(b))
	}
	p.Seq, p.Epoch = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	copy(p.Digest[:], b[16:])
	return p, nil
}
