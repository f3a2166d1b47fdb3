package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/durafunc/durafunc/taskhub/kv"
)

// Memory opens states that live in a sorted slice: exact, deterministic, and as slow
// as it is simple. It is for tests and the simulator.
type Memory struct{}

// Begin implements Opener.
func (Memory) Begin(string) (Builder, error) { return &memoryDB{}, nil }

// Add implements Builder.
func (db *memoryDB) Add(file string, body []byte) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	for b := body; len(b) > 0; {
		var field [2][]byte
		for n := range field {
			size, w := binary.Uvarint(b)
			if w <= 0 || size > uint64(len(b)-w) {
				return fmt.Errorf("checkpoint: file %q is damaged", file)
			}
			field[n], b = b[w:w+int(size)], b[w+int(size):]
		}
		db.entries = append(db.entries, entry{string(field[0]), field[1]})
	}
	return nil
}

// Open implements Builder.
func (db *memoryDB) Open() (DB, error) {
	pos, err := db.Get(positionKey)
	if err != nil {
		return nil, err
	}
	db.at, err = decodePosition(pos)
	return db, err
}

const memoryFile = "state"

type memoryDB struct {
	mu      sync.RWMutex
	entries []entry // by key
	at      Position
}

type entry struct {
	key   string
	value []byte
}

func (db *memoryDB) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(db.entries, key, func(e entry, k []byte) int {
		return bytes.Compare([]byte(e.key), k)
	})
}

func (db *memoryDB) Get(key []byte) ([]byte, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if n, ok := db.find(key); ok {
		return db.entries[n].value, nil
	}
	return nil, nil
}

func (db *memoryDB) Scan(lo, hi []byte) iter.Seq2[kv.Entry, error] {
	db.mu.RLock()
	from, _ := db.find(lo)
	to, _ := db.find(hi)
	part := slices.Clone(db.entries[from:max(from, to)])
	db.mu.RUnlock()
	return func(yield func(kv.Entry, error) bool) {
		for _, e := range part {
			if !yield(kv.Entry{Key: []byte(e.key), Value: e.value}, nil) {
				return
			}
		}
	}
}

func (db *memoryDB) Apply(ops []byte, at Position) error {
	var batch []kv.Mutation // read whole first: a malformed one changes nothing
	for m, err := range kv.Mutations(ops) {
		if err != nil {
			return err
		}
		batch = append(batch, m)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, m := range batch {
		n, found := db.find(m.Key)
		switch m.Op {
		case kv.Put:
			db.put(n, found, m.Key, m.Value)
		case kv.Delete:
			if found {
				db.entries = slices.Delete(db.entries, n, n+1)
			}
		case kv.DeleteRange:
			if to, _ := db.find(m.Value); to > n {
				db.entries = slices.Delete(db.entries, n, to)
			}
		}
	}
	n, found := db.find(positionKey)
	db.put(n, found, positionKey, encodePosition(at))
	db.at = at
	return nil
}

func (db *memoryDB) put(n int, found bool, key, value []byte) {
	e := entry{string(key), append(make([]byte, 0, len(value)), value...)}
	if found {
		db.entries[n] = e
	} else {
		db.entries = slices.Insert(db.entries, n, e)
	}
}

func (db *memoryDB) Position() Position {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.at
}

func (db *memoryDB) Freeze() (Frozen, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	var b []byte
	for _, e := range db.entries {
		b = binary.AppendUvarint(b, uint64(len(e.key)))
		b = append(b, e.key...)
		b = binary.AppendUvarint(b, uint64(len(e.value)))
		b = append(b, e.value...)
	}
	read := func() ([]byte, error) { return b, nil }
	return Frozen{At: db.at, Files: []File{{Name: memoryFile, Read: read}}, Release: func() {}}, nil
}

func (db *memoryDB) Close() error { return nil }
