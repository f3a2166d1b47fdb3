package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
)

// auditInstances: rows, indexes, tasks and histories of a partition agree, and what has
// not ended has a reason to wait (E§C12, 14 to 16).
func (p *refPartition) auditInstances() error {
	known := map[uint64]bool{}
	err := core.Each(p.db, 0, func(v *core.View) (bool, error) {
		known[v.Number] = true
		return true, p.auditInstance(v)
	})
	if err != nil {
		return err
	}
	for e, err := range p.db.Scan([]byte{'h'}, []byte{'u'}) {
		if err != nil {
			return err
		}
		switch e.Key[0] {
		case 'h', 'i', 'j', 'q', 't':
			if num := binary.BigEndian.Uint64(e.Key[1:]); !known[num] {
				return fmt.Errorf("key %q is left of instance %d, which does not exist", e.Key, num)
			}
		case 'n':
			if num := binary.BigEndian.Uint64(e.Value); !known[num] {
				return fmt.Errorf("id %q leads to instance %d, which does not exist", e.Key[1:], num)
			}
		}
	}
	return nil
}

func (p *refPartition) auditInstance(v *core.View) error {
	row := &v.Row
	bad := func(format string, args ...any) error {
		return fmt.Errorf("instance %q (%s): %s", row.Id, history.StatusName(row.Status), fmt.Sprintf(format, args...))
	}
	if by, err := core.Lookup(p.db, row.Id); err != nil || by == nil || by.Number != v.Number {
		return bad("its id leads elsewhere: %v", err)
	}
	events, err := v.History(p.db)
	if err != nil {
		return bad("%v", err)
	}
	if uint64(len(events)) != row.Position {
		return bad("%d events, its row says %d", len(events), row.Position)
	}
	r := newReplay(row.Id)
	for _, e := range events {
		if err := r.add(e); err != nil {
			return bad("%v", err)
		}
	}
	open, inbox := p.count('t', v.Number), p.count('q', v.Number)
	if history.IsTerminal(row.Status) {
		last := events[len(events)-1].GetExecutionCompleted()
		switch {
		case last == nil || last.OrchestrationStatus != row.Status:
			return bad("its history ends with %v", events[len(events)-1])
		case open+inbox > 0:
			return bad("%d tasks are open and %d events wait", open, inbox)
		}
		return nil
	}
	if open+inbox == 0 && row.Name != "Counter" {
		return bad("it has no reason to move")
	}
	return nil
}

// count counts the keys of one kind and instance.
func (p *refPartition) count(kind byte, num uint64) int {
	n := 0
	lo, hi := binary.BigEndian.AppendUint64([]byte{kind}, num), binary.BigEndian.AppendUint64([]byte{kind}, num+1)
	for _, err := range p.db.Scan(lo, hi) {
		if err != nil {
			return 0
		}
		n++
	}
	return n
}
