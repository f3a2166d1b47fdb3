package model

// checkpoints is take, collect and release.
func (m *machine) checkpoints(s *State, h int) {
	me := &s.hosts[h]
	if me.phase != serving {
		return
	}
	if me.write == idle {
		m.take(s, h)
		if me.append == idle {
			n := *s
			now := &n.hosts[h]
			now.write, now.kind = asking, releasing
			now.collects, now.noted, now.ripe = false, 0, 0
			m.await(h, actRelease, 0, n)
		}
	}
	if me.collects {
		m.collect(s, h)
	}
}

// take uploads the state as it is and asks for the root to be replaced. A PUT of a file
// is not in doubt: it is sent until it is there, and its name is used for it alone.
func (m *machine) take(s *State, h int) {
	me := &s.hosts[h]
	if !me.alive || me.root.ckpt != 0 && s.file(me.root.ckpt).seq >= me.seq && !me.fell {
		return
	}
	for f := uint8(1); f <= m.bounds.Files; f++ {
		if s.file(f).life != unused {
			continue
		}
		n := *s
		*n.file(f) = file{life: there, seq: me.seq, at: me.at, ops: me.ops}
		now := &n.hosts[h]
		now.write, now.kind, now.file = asking, publishing, f
		now.collects = m.rules.CheckpointApart && me.collects
		m.emit(h, actTake, f, n)
		return
	}
}

// published notes what the new root does not name (garbage.published and sweep). What
// an earlier look found has been needless for the grace by now, if it is ever to be;
// what the host's own root stopped naming needs no second look.
func (m *machine) published(n *State, h int) {
	me := &n.hosts[h]
	before := me.root
	me.root = m.target(n, h)
	me.write, me.kind, me.file, me.fell = idle, none, 0, false
	me.ripe = (me.ripe | me.noted | names(before)) &^ names(me.root) & n.existing()
	me.noted = n.existing() &^ names(me.root)
	me.collects = true
}

// collectAtOnce is the habit that CheckpointApart needs to fail.
func (m *machine) collectAtOnce(n *State, h int) {
	if m.rules.CheckpointApart {
		me := &n.hosts[h]
		me.root.ckpt, me.root.prev = n.root.ckpt, n.root.prev
		me.noted = n.existing() &^ names(n.root)
		me.collects = true
	}
}

// collect deletes one object. The host may be frozen before each: it looks at what it
// noted, not at what is there. Nobody asks whether the lease is alive.
func (m *machine) collect(s *State, h int) {
	me := &s.hosts[h]
	if m.refused(s, h) || m.rules.Grace && s.underWay() {
		return
	}
	files := me.noted | me.ripe
	if m.rules.Grace {
		files = me.ripe
	}
	for f := uint8(1); f <= m.bounds.Files; f++ {
		if files&(1<<f) == 0 {
			continue
		}
		n := *s
		*n.file(f) = file{life: deleted}
		for i := range n.hosts { // a second deletion has no effect
			n.hosts[i].noted &^= 1 << f
			n.hosts[i].ripe &^= 1 << f
		}
		m.emit(h, actRemoveFile, f, n)
	}
	for slot := uint8(1); slot < s.trim(me.root, &m.rules); slot++ {
		if s.slot(slot) == (record{}) {
			continue
		}
		n := *s
		n.slots[slot-1] = record{}
		var wrong *Violation
		if slot >= s.trim(s.root, &m.rules) {
			wrong = violated(SlotKept, "slot %d is deleted and may be needed", slot)
		}
		m.emitWrong(h, actRemoveSlot, slot, n, wrong)
		return // in order
	}
}

// existing are the files that a listing shows.
func (s *State) existing() uint8 {
	var set uint8
	for f := range s.files {
		if l := s.files[f].life; l == there || l == damaged {
			set |= 2 << f
		}
	}
	return set
}

// names are the files that a root names.
func names(r root) uint8 {
	return (1<<r.ckpt | 1<<r.prev) &^ 1
}
