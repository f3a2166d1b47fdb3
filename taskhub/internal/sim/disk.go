package sim

import (
	"errors"
	"fmt"
	"iter"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// disk is the local disk of a machine, which outlives its processes. Working states are in
// memory here; the disk only makes their operations fail.
type disk struct {
	w *World
	// fails is the share of operations that fail.
	fails *float64
	full  bool
}

// errDisk is what a broken or full disk says.
var errDisk = errors.New("input/output error")

// err draws whether an operation fails.
func (d *disk) err(what string) error {
	switch {
	case d.full:
		return fmt.Errorf("%s: no space left on device", what)
	case d.w.chance(*d.fails):
		d.w.tracef("the disk fails: %s", what)
		return fmt.Errorf("%s: %w", what, errDisk)
	}
	return nil
}

// diskOpener makes working states on a disk.
type diskOpener struct{ d *disk }

var _ checkpoint.Opener = diskOpener{}

// Begin implements checkpoint.Opener.
func (o diskOpener) Begin(name string) (checkpoint.Builder, error) {
	if err := o.d.err("remove what an earlier process left"); err != nil {
		return nil, err
	}
	b, err := checkpoint.Memory{}.Begin(name)
	return diskBuilder{b, o.d}, err
}

type diskBuilder struct {
	checkpoint.Builder
	d *disk
}

func (b diskBuilder) Add(file string, body []byte) error {
	if err := b.d.err("write " + file); err != nil {
		return err
	}
	return b.Builder.Add(file, body)
}

func (b diskBuilder) Open() (checkpoint.DB, error) {
	if err := b.d.err("open the working state"); err != nil {
		return nil, err
	}
	db, err := b.Builder.Open()
	if err != nil {
		return nil, err
	}
	return diskDB{db, b.d}, nil
}

type diskDB struct {
	checkpoint.DB
	d *disk
}

// readsFail is the share of reads that fail, of the share of other operations: there are
// many more of them.
const readsFail = 0.02

func (db diskDB) readError() error {
	if *db.d.fails > 0 && db.d.w.chance(readsFail**db.d.fails) {
		db.d.w.tracef("the disk fails: read the working state")
		return fmt.Errorf("read the working state: %w", errDisk)
	}
	return nil
}

func (db diskDB) Get(key []byte) ([]byte, error) {
	if err := db.readError(); err != nil {
		return nil, err
	}
	return db.DB.Get(key)
}

func (db diskDB) Scan(lo, hi []byte) iter.Seq2[kv.Entry, error] {
	return func(yield func(kv.Entry, error) bool) {
		for e, err := range db.DB.Scan(lo, hi) {
			if failed := db.readError(); failed != nil {
				e, err = kv.Entry{}, failed
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (db diskDB) Apply(ops []byte, at checkpoint.Position) error {
	if err := db.d.err("write the working state"); err != nil {
		return err
	}
	return db.DB.Apply(ops, at)
}

func (db diskDB) Freeze() (checkpoint.Frozen, error) {
	if err := db.d.err("freeze the working state"); err != nil {
		return checkpoint.Frozen{}, err
	}
	f, err := db.DB.Freeze()
	for n := range f.Files {
		read := f.Files[n].Read
		f.Files[n].Read = func() ([]byte, error) {
			if err := db.d.err("read " + f.Files[n].Name); err != nil {
				return nil, err
			}
			return read()
		}
	}
	return f, err
}

// Close also works on a full disk; one that is broken leaves the state behind.
func (db diskDB) Close() error {
	return errors.Join(db.DB.Close(), db.d.err("remove the working state"))
}
