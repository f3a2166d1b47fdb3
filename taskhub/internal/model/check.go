package model

import "math/bits"

// check is what must hold in every state.
func (m *machine) check(s *State) *Violation {
	for _, f := range []uint8{s.root.ckpt, s.root.prev} {
		if f != 0 && s.file(f).life == deleted && m.sees(FilesThere) {
			return violated(FilesThere, "root names checkpoint file %d, which is missing", f)
		}
	}
	for _, base := range []uint8{s.root.ckpt, s.root.prev} {
		if base != 0 && s.file(base).life != there {
			continue
		}
		if v := m.complete(s, base); v != nil {
			return v
		}
	}
	for h := range s.hosts {
		me := &s.hosts[h]
		if me.phase != serving || !me.alive || me.kind == releasing && !m.rules.ReadsWhileReleasing || !m.sees(ServesAll) {
			continue
		}
		if v := m.answers(s, h); v != nil {
			return v
		}
	}
	return nil
}

func (m *machine) sees(i Invariant) bool { return m.rules.Blind&i == 0 }

// answers looks at what the host would tell a client now.
func (m *machine) answers(s *State, h int) *Violation {
	if missing := s.acked &^ s.hosts[h].ops; missing != 0 {
		return violated(ServesAll, "%c serves without operation %d, which was acknowledged", 'A'+h, bits.TrailingZeros8(missing))
	}
	return nil
}

// complete reports whether a checkpoint and the log after it are one history that holds
// every acknowledged operation.
func (m *machine) complete(s *State, base uint8) *Violation {
	var seq uint8
	var at stamp
	var ops uint8
	if base != 0 {
		f := s.file(base)
		seq, at, ops = f.seq, f.at, f.ops
	}
	for ; seq < maxSlots && s.slots[seq] != (record{}); seq++ {
		r := s.slots[seq]
		if r.epoch < at.epoch {
			continue // void
		}
		if v := follows(seq+1, r, at, ops); v != nil {
			if m.sees(OneHistory) {
				return v
			}
			break // the log ends here for whoever recovers
		}
		at, ops = r.stamp, ops|r.ops
	}
	if missing := s.acked &^ ops; missing != 0 && m.sees(AckedInView) {
		return violated(AckedInView, "operation %d was acknowledged and is lost", bits.TrailingZeros8(missing))
	}
	return nil
}

// follows reports whether a valid record follows what is before it.
func follows(slot uint8, r record, at stamp, ops uint8) *Violation {
	switch {
	case r.prev != at:
		return violated(OneHistory, "slot %d follows another history", slot)
	case r.ops&ops != 0:
		return violated(OneHistory, "slot %d has operation %d once more", slot, bits.TrailingZeros8(r.ops&ops))
	case r.ops != 0 && bits.Len8(ops) > bits.TrailingZeros8(r.ops):
		return violated(OneHistory, "slot %d has operation %d out of order", slot, bits.TrailingZeros8(r.ops))
	}
	return nil
}
