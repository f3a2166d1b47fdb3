package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

const rootKey = "root"

// partition is an owner's program: partition.recoverPartition and Partition.write on the
// real commitlog.Log and lease.UpdateUnder, over a state that is a list of operations.
type partition struct {
	o     *owner
	s     clock
	log   commitlog.Log
	epoch uint64
	at    checkpoint.Position
	ops   []string
}

// own claims, recovers, and commits n operations; any failure ends it.
func own(n int) func(*owner) {
	return func(o *owner) {
		p := &partition{o: o, s: clock{o: o}}
		p.log = commitlog.Log{Store: o, Sched: p.s, Prefix: "log/"}
		if p.recover() != nil {
			return
		}
		for i := range n {
			op := fmt.Sprintf("%s%d", o.name, i)
			if p.write(op) != nil {
				return
			}
			o.w.acked = append(o.w.acked, op)
		}
	}
}

func (p *partition) recover() error {
	ctx := context.Background()
	before, tag, err := lease.Read(ctx, p.s, p.o, rootKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if p.o.name == "b" && p.o.w.owners[0].alive {
		return errors.New("owned")
	}
	fmt.Sscanf(string(before), "epoch %d", &p.epoch)
	p.epoch++
	mine := fmt.Appendf(nil, "epoch %d of %s", p.epoch, p.o.name)
	if _, err := lease.UpdateUnder(ctx, p.o, p.s, p.o, rootKey, tag, mine); err != nil {
		return err
	}
	for slot, err := range p.log.Tail(ctx, 0) {
		if err == nil {
			err = p.apply(slot.Record, slot.Digest)
		}
		if err != nil {
			return err
		}
	}
	for err = p.append(commitlog.Epoch, ""); errors.Is(err, errTaken); {
		err = p.append(commitlog.Epoch, "")
	}
	if err != nil {
		return err
	}
	now, _, err := lease.Read(ctx, p.s, p.o, rootKey)
	if err != nil || !bytes.Equal(now, mine) {
		return errFenced
	}
	return p.o.Await(ctx)
}

var (
	errFenced = errors.New("fenced")
	errTaken  = errors.New("taken by the owner before")
)

// apply is partition.replay.apply.
func (p *partition) apply(r *commitlog.Record, d commitlog.Digest) error {
	switch {
	case r.Epoch > p.epoch:
		return errFenced
	case r.Epoch < p.at.Epoch:
		p.at.Seq = r.Seq
		return nil
	case r.Prev != p.at.Digest:
		return errors.New("another history")
	}
	p.at = checkpoint.Position{Seq: r.Seq, Epoch: r.Epoch, Digest: d}
	if r.Kind == commitlog.Commit {
		p.ops = append(p.ops, string(r.Body))
	}
	return nil
}

// append puts one record after the last.
func (p *partition) append(kind commitlog.Kind, op string) error {
	rec := commitlog.Record{
		Kind: kind, Hub: "h", Session: p.o.name, Epoch: p.epoch, Seq: p.at.Seq + 1, Prev: p.at.Digest, Body: []byte(op),
	}
	p.s.Random(rec.Nonce[:])
	b := rec.Encode()
	err := p.log.Append(context.Background(), p.o, rec.Seq, b)
	var taken *commitlog.SlotTakenError
	if errors.As(err, &taken) {
		other, derr := commitlog.Decode(taken.Bytes)
		switch {
		case derr != nil:
			return derr
		case kind == commitlog.Epoch:
			return errors.Join(errTaken, p.apply(other, sha256.Sum256(taken.Bytes)))
		default:
			return errFenced
		}
	} else if err != nil {
		return err
	}
	return p.apply(&rec, sha256.Sum256(b))
}

func (p *partition) write(op string) error { return p.append(commitlog.Commit, op) }

// history is what the next owner would recover: every valid operation, in order.
func (w *script) history() ([]string, error) {
	p := &partition{epoch: 1 << 60}
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		if !strings.HasPrefix(key, "log/") {
			continue
		}
		b := []byte(w.objects[key])
		r, err := commitlog.Decode(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if r.Seq != p.at.Seq+1 {
			return nil, fmt.Errorf("%s: a gap", key)
		}
		if err := p.apply(r, sha256.Sum256(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return p.ops, nil
}

// holds checks what must be so after every step.
func (w *script) holds() error {
	ops, err := w.history()
	if err != nil {
		return err
	}
	for n, op := range ops {
		if slices.Contains(ops[:n], op) {
			return fmt.Errorf("%s is there twice: %v", op, ops)
		}
	}
	for _, op := range w.acked {
		if !slices.Contains(ops, op) {
			return fmt.Errorf("%s was acknowledged and is lost: %v", op, ops)
		}
	}
	return nil
}

// explored says what a search along the real code has seen.
type explored struct {
	states, runs, served int
	wrong                error
	trace                []string
}

// explore runs the owners along all choices, depth first: a coroutine cannot be copied, so
// each way is run from its beginning, up to a state that was seen before.
func explore(commits, faults int) explored {
	var res explored
	seen := map[uint64]bool{}
	var path, width []int
	for {
		w := &script{objects: map[string]string{}, faults: faults}
		w.start(0, own(commits))
		w.start(1, own(commits))
		res.runs++
		var trace []string
		for depth := 0; ; depth++ {
			all := w.choices()
			if depth == len(path) {
				if err := w.holds(); err != nil {
					w.end()
					res.wrong, res.trace = err, trace
					return res
				}
				if state := w.state(); len(all) == 0 || seen[state] {
					break
				} else {
					seen[state] = true
				}
				path, width = append(path, 0), append(width, len(all))
			}
			c := all[path[depth]]
			trace = append(trace, c.what)
			c.do()
		}
		if len(w.acked) == 2*commits {
			res.served++
		}
		w.end()
		for len(path) > 0 && path[len(path)-1]+1 == width[len(path)-1] {
			path, width = path[:len(path)-1], width[:len(width)-1]
		}
		if len(path) == 0 {
			res.states = len(seen)
			return res
		}
		path[len(path)-1]++
	}
}

// The real log and root hold along every order of requests, lost answers, late writes and
// an eviction at any moment.
func TestTheRealLogAlongAllInterleavings(t *testing.T) {
	commits, faults := 2, 1
	if testing.Short() {
		commits = 1
	}
	if *large {
		faults = 2
	}
	r := explore(commits, faults)
	if r.wrong != nil {
		t.Fatalf("%v\n%s", r.wrong, strings.Join(r.trace, "\n"))
	}
	t.Logf("%d states, %d runs, both owners served all in %d", r.states, r.runs, r.served)
	if r.served == 0 {
		t.Error("never did both owners commit everything: the search is vacuous")
	}
}
