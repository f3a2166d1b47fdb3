package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// watch checks a mutation batch against the state that it is about to change:
// histories only grow, ended instances stay ended, messages were sent before they
// were received (E§C12, 3, 10 and 15).
func (r *Reference) watch(p *refPartition, batch []byte) error {
	for m, err := range kv.Mutations(batch) {
		if err != nil {
			return err
		}
		if m.Op == kv.Delete && m.Key[0] == 'n' {
			r.gone[string(m.Key[1:])] = true
		}
		if m.Op != kv.Put {
			continue
		}
		before, err := p.db.Get(m.Key)
		if err != nil {
			return err
		}
		switch m.Key[0] {
		case 'h':
			if before != nil {
				return fmt.Errorf("history chunk %x is written twice", m.Key)
			}
			r.noteRaised(p, m)
		case 'q':
			r.noteRaised(p, m)
		case 'i':
			if err := watchRow(m.Value, before); err != nil {
				return err
			}
		case 'r':
			if err := p.watchRequest(m); err != nil {
				return err
			}
		case 'm':
			var meta core.Meta
			if err := meta.UnmarshalVT(m.Value); err != nil {
				return err
			}
			if err := r.watchMeta(p, &meta); err != nil {
				return err
			}
		}
	}
	return nil
}

// watchRequest: a request is answered once, as long as it is remembered (E§C12, 13).
func (p *refPartition) watchRequest(m kv.Mutation) error {
	var now core.RequestRow
	if err := now.UnmarshalVT(m.Value); err != nil {
		return err
	}
	id := m.Key[9:] // after kind and span
	for e, err := range p.db.Scan([]byte{'r'}, []byte{'s'}) {
		if err != nil {
			return err
		}
		if !bytes.Equal(e.Key[9:], id) {
			continue
		}
		var was core.RequestRow
		if err := was.UnmarshalVT(e.Value); err != nil {
			return err
		}
		if now.At-was.At <= int64(core.RequestMemory) {
			return fmt.Errorf("request %q is answered twice, after %v", id, time.Duration(now.At-was.At))
		}
	}
	return nil
}

func watchRow(after, before []byte) error {
	var now, was core.InstanceRow
	if err := now.UnmarshalVT(after); err != nil {
		return err
	}
	if before == nil {
		return nil
	}
	if err := was.UnmarshalVT(before); err != nil {
		return err
	}
	switch {
	case history.IsTerminal(was.Status):
		return fmt.Errorf("instance %q changes after it has ended", now.Id)
	case now.Generation < was.Generation, now.Generation == was.Generation && now.Execution != was.Execution:
		return fmt.Errorf("instance %q: execution %s follows %s", now.Id, now.Execution, was.Execution)
	case now.Generation == was.Generation && now.Position < was.Position:
		return fmt.Errorf("instance %q: history shrinks from %d to %d", now.Id, was.Position, now.Position)
	case now.Now < was.Now:
		return fmt.Errorf("instance %q: time runs backwards", now.Id)
	}
	return nil
}

// watchMeta: marks never fall, and nothing is received that was not committed by its
// sender.
func (r *Reference) watchMeta(p *refPartition, meta *core.Meta) error {
	for src, got := range meta.Received {
		if src < len(p.received) && got < p.received[src] {
			return fmt.Errorf("mark for partition %d falls from %d to %d", src, p.received[src], got)
		}
		sent := uint64(0)
		if s := r.part(src); p.n < len(s.sent) {
			sent = s.sent[p.n]
		}
		if got > sent {
			return fmt.Errorf("message %d of partition %d is taken in, and only %d are committed there", got, src, sent)
		}
	}
	for dst, sent := range meta.Sent {
		if dst < len(p.sent) && sent < p.sent[dst] {
			return fmt.Errorf("messages to partition %d fall from %d to %d", dst, p.sent[dst], sent)
		}
	}
	p.sent, p.received = meta.Sent, meta.Received
	return nil
}

// noteRaised remembers the external events in a history chunk or an inbox entry.
func (r *Reference) noteRaised(p *refPartition, m kv.Mutation) {
	var h history.History
	if err := h.UnmarshalVT(m.Value); err != nil {
		r.w.fail("partition %d: %q: %v", p.n, m.Key, err)
		return
	}
	for _, e := range h.Events {
		if raised := e.GetEventRaised(); raised != nil {
			num := binary.BigEndian.Uint64(m.Key[1:])
			key := fmt.Sprintf("%d/%d", p.n, num)
			if r.raised[key] == nil {
				r.raised[key] = map[string]bool{}
			}
			r.raised[key][raised.Input.GetValue()] = true
		}
	}
}

// payloadOwner is an instance that refers to a payload object, or "".
func (p *refPartition) payloadOwner(name string) string {
	lo := append(append([]byte{'p'}, name...), 0)
	for e, err := range p.db.Scan(lo, append(append([]byte{'p'}, name...), 1)) {
		if err == nil {
			return fmt.Sprint(binary.BigEndian.Uint64(e.Key[len(e.Key)-8:]))
		}
	}
	return ""
}

// history is the committed history of an instance's present execution, as bytes.
func (p *refPartition) history(v *core.View) ([]byte, error) {
	lo := binary.BigEndian.AppendUint64([]byte{'h'}, v.Number)
	hi := binary.BigEndian.AppendUint32(bytes.Clone(lo), v.Row.Generation+1)
	lo = binary.BigEndian.AppendUint32(lo, v.Row.Generation)
	var chunks []byte
	for e, err := range p.db.Scan(lo, hi) {
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, e.Value...)
	}
	return chunks, nil
}

// lookup finds the committed state of an instance, in whatever partition it is; nil if
// there is none.
func (r *Reference) lookup(id string) (*core.View, *refPartition) {
	var found *core.View
	var in *refPartition
	for n := range len(r.parts) {
		p := r.part(n)
		v, err := core.Lookup(p.db, id)
		if err != nil {
			r.w.fail("partition %d: %v", n, err)
			return nil, nil
		}
		if v != nil {
			if found != nil {
				r.w.fail("instance %q is in two partitions", id)
			}
			found, in = v, p
		}
	}
	return found, in
}

// hasRaised reports whether the event with that payload was ever committed for the
// instance.
func (r *Reference) hasRaised(id, data string) bool {
	v, p := r.lookup(id)
	return v != nil && r.raised[fmt.Sprintf("%d/%d", p.n, v.Number)][data]
}
