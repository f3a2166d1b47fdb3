package model

// recovery is recoverPartition but for the writes: claim, restore, writeEpochRecord, confirmOwner.
func (m *machine) recovery(s *State, h int) {
	me := &s.hosts[h]
	switch me.phase {
	case closed:
		m.claim(s, h)
	case load:
		m.restore(s, h)
	case replay:
		m.replay(s, h)
	case announce:
		if me.append == idle {
			n := *s
			n.hosts[h].startAppend(0)
			m.await(h, actAnnounce, me.seq+1, n)
		}
	case verify:
		n := *s
		var wrong *Violation
		if !s.ours(h) && !m.rules.NoRecheck {
			n.hosts[h].drop()
		} else {
			n.hosts[h].phase = serving
			m.collectAtOnce(&n, h)
			if m.rules.NoRecheck { // a query that waited is answered at once
				wrong = m.answers(&n, h)
			}
		}
		m.emitWrong(h, actStillOurs, 0, n, wrong)
	}
}

// startAppend prepares the next record.
func (h *host) startAppend(ops uint8) {
	h.append, h.batch, h.slot = checked, ops, h.seq+1
}

// claim reads the root and decides to take it.
func (m *machine) claim(s *State, h int) {
	me := &s.hosts[h]
	r := s.root
	if !me.alive || r.epoch >= m.bounds.Epochs || h == 1 && r.epoch == 0 && !m.rules.EpochReset {
		return // B waits for A's first claim: the hosts are alike
	}
	if r.owner != 0 && r.owner != s.session(h) && !s.ended(r.owner) {
		return // ErrOwned
	}
	n := *s
	n.hosts[h].phase, n.hosts[h].root = claim, r
	n.hosts[h].write, n.hosts[h].kind = asking, claiming
	m.emit(h, actClaim, 0, n)
}

// restore reads the checkpoint. One that is damaged is believed under ownership only.
func (m *machine) restore(s *State, h int) {
	n := *s
	me := &n.hosts[h]
	from := me.root.ckpt
	if from != 0 && s.file(from).life != there {
		if !s.ours(h) {
			me.drop()
			m.emit(h, actRestore, from, n)
			return
		}
		if s.file(from).life == deleted {
			m.emitWrong(h, actRestore, from, n, violated(NoFalseAlarm, "the owner finds checkpoint file %d missing", from))
			return
		}
		from, me.fell = me.root.prev, true
	}
	if from != 0 {
		f := s.file(from)
		if f.life != there {
			wrong := violated(NoFalseAlarm, "no checkpoint is whole: file %d neither", from)
			if !s.ours(h) {
				me.drop()
				wrong = nil
			}
			m.emitWrong(h, actRestore, from, n, wrong)
			return
		}
		me.seq, me.at, me.ops = f.seq, f.at, f.ops
	}
	me.phase = replay
	m.emit(h, actRestore, from, n)
}

// replay reads one more slot; the first that is empty ends the log.
func (m *machine) replay(s *State, h int) {
	n := *s
	me := &n.hosts[h]
	at := me.seq + 1
	if at > m.bounds.Slots {
		return // out of the model's world
	}
	if s.slot(at) == (record{}) {
		if me.phase = announce; m.rules.NoEpochRecord {
			me.phase = verify
		}
		m.emit(h, actApply, at, n)
		return
	}
	m.applied(s, h, actApply, at, n)
}

// applied applies the record in slot at to the host in n.
func (m *machine) applied(s *State, h int, a action, at uint8, n State) {
	var wrong *Violation
	switch n.hosts[h].apply(s.slot(at)) {
	case fenced:
		n.hosts[h].drop()
	case broken:
		if s.ours(h) {
			wrong = violated(NoFalseAlarm, "the owner finds that slot %d follows another history", at)
		} else {
			n.hosts[h].drop()
		}
	}
	m.emitWrong(h, a, at, n, wrong)
}

// await is Session.Await: it lets the step happen, or ends the partition.
func (m *machine) await(h int, a action, arg uint8, n State) {
	if me := &n.hosts[h]; !me.alive {
		me.drop()
	} else if me.append == checked && me.slot > m.bounds.Slots {
		return // out of the model's world
	}
	m.emit(h, a, arg, n)
}

// rootWrite is lease.Update: the same bytes are sent until there is a verdict; on no,
// the root is read. So a request of a host that asks may take effect at any moment, and
// the answer may be lost.
func (m *machine) rootWrite(s *State, h int) {
	me := &s.hosts[h]
	switch me.write {
	case answered:
		n := *s
		m.published(&n, h)
		m.emit(h, actPublished, 0, n)
		return
	case asking:
	default:
		return
	}
	if m.refused(s, h) {
		return
	}
	n := *s
	won, wrong := m.replaces(&n, m.wanted(s, h))
	if won {
		m.emitWrong(h, actRootUnanswered, 0, n, wrong)
	}
	if won || m.stands(s, h) {
		m.rootWritten(&n, h)
	} else {
		m.leave(h, actFenced, n)
		return
	}
	m.emitWrong(h, actUpdate, 0, n, wrong)
}

// stands reports whether the root is what the host wants to make of it.
func (m *machine) stands(s *State, h int) bool {
	c := m.wanted(s, h)
	if m.rules.CheckpointApart && c.kind == publishing {
		return s.root.ckpt == c.new.ckpt
	}
	return s.root == c.new
}

// rootWritten goes on after the verdict.
func (m *machine) rootWritten(n *State, h int) {
	new, me := m.wanted(n, h).new, &n.hosts[h]
	switch me.kind {
	case claiming:
		me.root, me.phase, me.write, me.kind = new, load, idle, none
	case publishing:
		me.write = answered
	case releasing:
		me.drop()
	}
}

// wanted is the replacement that the host asks for.
func (m *machine) wanted(s *State, h int) cas {
	me := &s.hosts[h]
	return cas{session: s.session(h), kind: me.kind, old: me.root, new: m.target(s, h)}
}

// target is the root that the host wants to write.
func (m *machine) target(s *State, h int) root {
	me := &s.hosts[h]
	r := me.root
	switch me.kind {
	case claiming:
		r.epoch, r.owner = r.epoch+1, s.session(h)
	case publishing:
		r.ckpt, r.prev = me.file, me.root.ckpt
		if me.fell {
			r.prev = me.root.prev
		}
	case releasing:
		r.owner = 0
		if m.rules.EpochReset {
			r.epoch = 0
		}
	}
	return r
}
