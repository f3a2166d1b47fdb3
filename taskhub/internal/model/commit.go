package model

// appendStep is Log.Append, of a commit or of an epoch record: Await, the same bytes
// until there is a verdict, a look into a slot that is taken, Await.
func (m *machine) appendStep(s *State, h int) {
	me := &s.hosts[h]
	n := *s
	now := &n.hosts[h]
	switch me.append {
	case checked:
		if m.refused(s, h) {
			return
		}
		if now.append = asking; m.rules.AckEarly && me.phase == serving {
			n.acked |= me.batch
		}
		m.emit(h, actAppendSend, me.slot, n)
	case asking:
		m.ask(s, h)
		if !me.alive {
			m.leave(h, actLost, n)
			return
		}
		m.again(s, h)
	case taken:
		m.inspect(s, h)
	case answered:
		if !me.alive && m.rules.CheckAnswer && (me.phase != announce || !m.rules.NoRecheck) {
			m.leave(h, actLost, n)
			return
		}
		now.seq, now.at, now.ops = me.slot, me.record().stamp, me.ops|me.batch
		if me.phase == announce {
			now.phase = verify
		} else {
			n.acked |= me.batch
		}
		now.append, now.batch, now.slot = idle, 0, 0
		m.emit(h, actAppendDone, me.slot, n)
	}
}

// ask lets the PUT that the host waits for take effect, with and without an answer.
func (m *machine) ask(s *State, h int) {
	me := &s.hosts[h]
	if m.refused(s, h) {
		return
	}
	n := *s
	if s.slot(me.slot) != (record{}) {
		n.hosts[h].append = taken
		m.emit(h, actConflict, me.slot, n)
		return
	}
	wrong := m.write(&n, s.session(h), me.slot, me.record())
	m.emitWrong(h, actSlotUnanswered, me.slot, n, wrong)
	n.hosts[h].append = answered
	m.emitWrong(h, actSlotWritten, me.slot, n, wrong)
}

// again gives an answer up and looks at the lease anew. What was sent may come late.
func (m *machine) again(s *State, h int) {
	n := *s
	now := &n.hosts[h]
	slot := now.slot
	late := m.belated(&n, h)
	now.append = checked
	if m.rules.AbsentMeansNever && now.phase == serving && s.slot(slot) == (record{}) && s.next < m.bounds.Ops {
		now.batch |= 1 << s.next
		n.next++
	}
	m.emit(h, actAppendAgain, slot, n)
	if late {
		n.puts = s.puts
		m.emit(h, actAppendAgain, slot, n)
	}
}

// inspect looks into a slot that is taken.
func (m *machine) inspect(s *State, h int) {
	me := &s.hosts[h]
	n := *s
	now := &n.hosts[h]
	other := s.slot(me.slot)
	var wrong *Violation
	switch {
	case other == (record{}):
		m.leave(h, actInspect, n) // Fetch: ErrNotFound
		return
	case other == me.record():
		now.append = answered
	case me.phase == announce:
		now.append, now.batch, now.slot = idle, 0, 0
		m.applied(s, h, actInspect, me.slot, n)
		return
	case other.epoch > me.root.epoch:
		m.leave(h, actFenced, n)
		return
	case other.epoch == me.root.epoch && m.rules.AbsentMeansNever:
		now.append = answered
	case other.epoch == me.root.epoch:
		if s.ours(h) {
			wrong = violated(NoFalseAlarm, "slot %d has another record of the owner's own epoch", me.slot)
		} else {
			m.leave(h, actFenced, n)
			return
		}
	default: // void: the record goes into the next slot
		now.append = checked
		now.slot++
		m.await(h, actInspect, me.slot, n)
		return
	}
	m.emitWrong(h, actInspect, me.slot, n, wrong)
}

// commits is maybeCommit: the next operation is decided and sealed.
func (m *machine) commits(s *State, h int) {
	me := &s.hosts[h]
	if me.phase != serving || me.append != idle || me.kind == releasing || s.next >= m.bounds.Ops {
		return
	}
	n := *s
	n.hosts[h].startAppend(1 << s.next)
	n.next++
	m.await(h, actSeal, me.seq+1, n)
}
