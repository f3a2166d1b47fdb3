package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/partition"
)

// Reference follows what is written to the bucket and holds, for every partition, the
// state that a flawless recovery would find. It checks the invariants of store and log
// (E§C12, 1 to 8) as it goes.
type Reference struct {
	w      *World
	bucket *Bucket
	parts  map[int]*refPartition
	// raised holds every external event that was ever committed, by instance id and
	// payload.
	raised map[string]map[string]bool
	// gone holds the ids of instances that were purged or replaced.
	gone map[string]bool
}

// refPartition is what the log of one partition says.
type refPartition struct {
	n        int
	db       checkpoint.DB
	root     *partition.Root
	sessions map[uint64]string // by epoch: who wrote under it
	records  int
	// sent and received are the message numbers that are committed, by partition.
	sent, received []uint64
}

// NewReference follows b.
func NewReference(w *World, b *Bucket) *Reference {
	r := &Reference{w: w, bucket: b, parts: map[int]*refPartition{}, raised: map[string]map[string]bool{}, gone: map[string]bool{}}
	b.changed = r.changed
	return r
}

func (r *Reference) part(n int) *refPartition {
	p := r.parts[n]
	if p == nil {
		state, err := checkpoint.Memory{}.Begin("reference")
		if err != nil {
			r.w.fail("reference: %v", err)
		}
		db, err := state.Open()
		if err != nil {
			r.w.fail("reference: %v", err)
		}
		p = &refPartition{n: n, db: db, sessions: map[uint64]string{}}
		r.parts[n] = p
	}
	return p
}

// changed takes one write or deletion (body nil).
func (r *Reference) changed(key string, old, body []byte) {
	if body == nil {
		r.deleted(key)
		return
	}
	parts := strings.Split(key, "/")
	if parts[0] != "p" || len(parts) < 3 {
		return
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		r.w.fail("%s was written", key)
		return
	}
	switch p := r.part(n); parts[2] {
	case "root":
		r.rootWritten(p, key, body)
	case "log":
		r.recordWritten(p, key, body)
	}
}

func (r *Reference) rootWritten(p *refPartition, key string, body []byte) {
	root := &partition.Root{}
	if err := json.Unmarshal(body, root); err != nil {
		r.w.fail("%s: %v", key, err)
		return
	}
	if p.root != nil {
		if root.Epoch < p.root.Epoch {
			r.w.fail("%s: epoch falls from %d to %d", key, p.root.Epoch, root.Epoch)
		}
		if root.Epoch == p.root.Epoch && root.Owner != p.root.Owner && root.Owner != "" {
			r.w.fail("%s: owner changes from %q to %q within epoch %d", key, p.root.Owner, root.Owner, root.Epoch)
		}
		if root.TrimBelow < p.root.TrimBelow {
			r.w.fail("%s: trim bound falls from %d to %d", key, p.root.TrimBelow, root.TrimBelow)
		}
	}
	r.w.tracef("reference: %s epoch %d owner %.6s checkpoint %d previous %d trim %d", key, root.Epoch, root.Owner, seqOf(root.Checkpoint), seqOf(root.Previous), root.TrimBelow)
	p.root = root
	for _, m := range []*checkpoint.Manifest{root.Checkpoint, root.Previous} {
		r.checkObjects(p, m)
		if m != nil && m.Seq > p.db.Position().Seq {
			r.w.fail("%s: checkpoint up to record %d, the log ends at %d", key, m.Seq, p.db.Position().Seq)
		}
	}
}

func seqOf(m *checkpoint.Manifest) uint64 {
	if m == nil {
		return 0
	}
	return m.Seq
}

// checkObjects: every object that root names exists and has its checksum.
func (r *Reference) checkObjects(p *refPartition, m *checkpoint.Manifest) {
	if m == nil {
		return
	}
	for _, t := range append([]checkpoint.Table{m.Bundle}, m.Tables...) {
		key := p.key("table/" + t.Name)
		o := r.bucket.objects[key]
		if o == nil {
			r.w.fail("%s is named by the root and does not exist", key)
			return
		}
		if sum := sha256.Sum256(o.body); hex.EncodeToString(sum[:]) != t.SHA256 {
			r.w.fail("%s is named by the root with another checksum", key)
		}
	}
}

func (p *refPartition) key(name string) string { return fmt.Sprintf("p/%02d/%s", p.n, name) }

// recordWritten takes a record into the reference state.
func (r *Reference) recordWritten(p *refPartition, key string, body []byte) {
	seq, err := commitlog.SeqOfKey(key)
	if err != nil {
		r.w.fail("%s: %v", key, err)
		return
	}
	if p.root != nil && seq < p.root.TrimBelow {
		r.w.tracef("reference: %s reappears below the trim bound", key)
		return
	}
	at := p.db.Position()
	if seq != at.Seq+1 {
		r.w.fail("%s is written, but the log ends at %d", key, at.Seq)
		return
	}
	rec, err := commitlog.Decode(body)
	if err != nil {
		r.w.fail("%s: %v", key, err)
		return
	}
	if err := r.apply(p, p.db, rec, sha256.Sum256(body), true); err != nil {
		r.w.fail("%s: %v", key, err)
	}
}

// apply replays one record on db, a state of p; watch says that it is new to the world.
func (r *Reference) apply(p *refPartition, db checkpoint.DB, rec *commitlog.Record, digest commitlog.Digest, watch bool) error {
	at := db.Position()
	if rec.Partition != p.n {
		return fmt.Errorf("record of partition %d", rec.Partition)
	}
	if rec.Epoch < at.Epoch {
		return db.Apply(nil, checkpoint.Position{Seq: rec.Seq, Epoch: at.Epoch, Digest: at.Digest})
	}
	if rec.Epoch > at.Epoch && rec.Kind != commitlog.Epoch {
		return fmt.Errorf("first record of epoch %d is no epoch record", rec.Epoch)
	}
	if rec.Epoch == at.Epoch && rec.Kind == commitlog.Epoch {
		return fmt.Errorf("second epoch record of epoch %d", rec.Epoch)
	}
	if rec.Prev != at.Digest {
		return fmt.Errorf("digest chain is broken: epoch %d names %x, the record before is %x", rec.Epoch, rec.Prev[:6], at.Digest[:6])
	}
	if watch {
		if s, known := p.sessions[rec.Epoch]; known && s != rec.Session {
			return fmt.Errorf("sessions %s and %s both wrote under epoch %d", s, rec.Session, rec.Epoch)
		}
		p.sessions[rec.Epoch] = rec.Session
		p.records++
		if err := r.watch(p, rec.Body); err != nil {
			return err
		}
	}
	return db.Apply(rec.Body, checkpoint.Position{Seq: rec.Seq, Epoch: rec.Epoch, Digest: digest})
}

// deleted: what the root needs stays, and nothing but garbage goes.
func (r *Reference) deleted(key string) {
	parts := strings.Split(key, "/")
	if id, session := strings.CutPrefix(key, "session/"); session {
		for n := range len(r.parts) {
			if p := r.part(n); p.root != nil && p.root.Owner == id {
				r.w.fail("%s was deleted, and owns partition %d", key, n)
			}
		}
		return
	}
	if parts[0] != "p" || len(parts) < 4 {
		r.w.fail("%s was deleted", key)
		return
	}
	n, err := strconv.Atoi(parts[1])
	p := r.part(n)
	switch {
	case err != nil:
		r.w.fail("%s was deleted", key)
	case parts[2] == "log":
		if seq, err := commitlog.SeqOfKey(key); err != nil || p.root == nil || seq >= p.root.TrimBelow {
			r.w.fail("%s was deleted, and the trim bound is below it", key)
		}
	case parts[2] == "table":
		if p.root != nil && (slices.Contains(p.root.Checkpoint.Objects(), parts[3]) || slices.Contains(p.root.Previous.Objects(), parts[3])) {
			r.w.fail("%s was deleted, and the root names it", key)
		}
	case parts[2] == "payload":
		if owner := p.payloadOwner(parts[3]); owner != "" {
			r.w.fail("%s was deleted, and instance %s refers to it", key, owner)
		}
	}
}

// recovered is the state that a recovery from the bucket alone finds now: checkpoint
// and log, without anything that the reference remembers.
func (r *Reference) recovered(p *refPartition) (checkpoint.DB, error) {
	state, err := checkpoint.Memory{}.Begin("recovered")
	if err != nil {
		return nil, err
	}
	var db checkpoint.DB
	if p.root != nil && p.root.Checkpoint != nil {
		db, err = checkpoint.Restore(context.Background(), still{r.w}, stillStore{r.bucket}, p.key("table/"), p.root.Checkpoint, state)
	} else {
		db, err = state.Open()
	}
	if err != nil {
		return nil, err
	}
	for {
		key := p.key(fmt.Sprintf("log/%020d", db.Position().Seq+1))
		o := r.bucket.objects[key]
		if o == nil {
			return db, nil
		}
		rec, err := commitlog.Decode(o.body)
		if err == nil {
			err = r.apply(p, db, rec, sha256.Sum256(o.body), false)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
}

// Verify recovers every partition from the bucket and compares it with the reference:
// what was committed once is there.
func (r *Reference) Verify() {
	for n := range len(r.parts) {
		p := r.part(n)
		db, err := r.recovered(p)
		if err != nil {
			r.w.fail("partition %d cannot be recovered: %v", n, err)
			return
		}
		want, got := dump(p.db), dump(db)
		if want != got {
			r.w.fail("partition %d: recovery finds record %d, the reference stands at %d, or another state (%d and %d bytes)",
				n, db.Position().Seq, p.db.Position().Seq, len(got), len(want))
			return
		}
		if p.root != nil {
			r.checkObjects(p, p.root.Checkpoint)
			r.checkObjects(p, p.root.Previous)
		}
	}
}

// dump is a state as text to compare.
func dump(db checkpoint.DB) string {
	var b strings.Builder
	for e, err := range db.Scan([]byte{0}, []byte{0xff}) {
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "%q=%q\n", e.Key, e.Value)
	}
	return b.String()
}
