// Package kv is how the engine's state is read and changed: an ordered map of
// bytes, read through Reader and changed by batches of physical mutations. A
// commit record carries such a batch, so that replaying it needs no knowledge of
// what the bytes mean.
//
// It is a leaf: standard library only.
package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// Reader reads an ordered map of byte strings. Values are the reader's own or
// valid for ever; callers do not change them.
type Reader interface {
	// Get returns the value of key, or nil if there is none.
	Get(key []byte) ([]byte, error)
	// Scan yields the entries with lo <= key < hi in key order and ends at the
	// first error, which it yields with a nil key. Key and value are valid until
	// the next step.
	Scan(lo, hi []byte) iter.Seq2[Entry, error]
}

// Entry is one key with its value.
type Entry struct{ Key, Value []byte }

// Op is the kind of one mutation.
type Op byte

// The mutations. Values are part of the log format.
const (
	Put         Op = 1 // key, value
	Delete      Op = 2 // key
	DeleteRange Op = 3 // first key, first key beyond
)

// Batch collects mutations, encoded as they are added:
//
//	op      1 byte
//	key     uvarint length, bytes
//	value   uvarint length, bytes (Put: the value; DeleteRange: the end; Delete: absent)
//
// Later mutations win over earlier ones. The zero Batch is empty.
type Batch struct {
	ops   []byte
	count int
}

// Put sets key to value.
func (b *Batch) Put(key, value []byte) { b.add(Put, key, value) }

// Delete removes key.
func (b *Batch) Delete(key []byte) { b.add(Delete, key, nil) }

// DeleteRange removes every key with lo <= key < hi.
func (b *Batch) DeleteRange(lo, hi []byte) { b.add(DeleteRange, lo, hi) }

func (b *Batch) add(op Op, key, value []byte) {
	b.ops = append(b.ops, byte(op))
	b.ops = binary.AppendUvarint(b.ops, uint64(len(key)))
	b.ops = append(b.ops, key...)
	if op != Delete {
		b.ops = binary.AppendUvarint(b.ops, uint64(len(value)))
		b.ops = append(b.ops, value...)
	}
	b.count++
}

// Bytes is the encoded batch; it is the batch's own until Reset.
func (b *Batch) Bytes() []byte { return b.ops }

// Count is the number of mutations.
func (b *Batch) Count() int { return b.count }

// Reset empties the batch and gives its memory away with the bytes handed out.
func (b *Batch) Reset() { *b = Batch{} }

// ErrMalformed means that bytes are no encoded batch.
var ErrMalformed = errors.New("malformed mutation batch")

// Mutation is one decoded mutation; Value is the end of a DeleteRange.
type Mutation struct {
	Op         Op
	Key, Value []byte
}

// Mutations decodes an encoded batch in order. It ends at the first error, an
// ErrMalformed. Key and Value alias ops.
func Mutations(ops []byte) iter.Seq2[Mutation, error] {
	return func(yield func(Mutation, error) bool) {
		rest := ops
		take := func() ([]byte, bool) {
			n, w := binary.Uvarint(rest)
			if w <= 0 || n > uint64(len(rest)-w) {
				return nil, false
			}
			field := rest[w : w+int(n)]
			rest = rest[w+int(n):]
			return field, true
		}
		for len(rest) > 0 {
			m := Mutation{Op: Op(rest[0])}
			at := len(ops) - len(rest)
			rest = rest[1:]
			ok := m.Op >= Put && m.Op <= DeleteRange
			if ok {
				m.Key, ok = take()
			}
			if ok && m.Op != Delete {
				m.Value, ok = take()
			}
			if !ok {
				yield(Mutation{}, fmt.Errorf("%w at byte %d of %d", ErrMalformed, at, len(ops)))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// After is the first key beyond all keys that start with prefix, or nil if there
// is none (prefix is empty or all 0xff).
func After(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
