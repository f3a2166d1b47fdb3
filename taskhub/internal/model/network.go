package model

// refused reports whether the store refuses what the host sends now: its signature has
// ended with its lease.
func (m *machine) refused(s *State, h int) bool { return m.rules.Expiry && !s.hosts[h].alive }

// belated leaves what the host has asked for on the network, where it may still take
// effect; false if there is nothing, or no room.
func (m *machine) belated(n *State, h int) bool {
	me := &n.hosts[h]
	if m.refused(n, h) {
		return false
	}
	late := false
	if me.write == asking && n.cas[h] == (cas{}) {
		n.cas[h] = m.wanted(n, h)
		late = true
	}
	if me.append != asking {
		return late
	}
	p := put{session: n.session(h), slot: me.slot, record: me.record()}
	puts := &n.puts[h]
	for i := range puts[:m.bounds.Puts] {
		if puts[i] == p {
			return late
		}
		if puts[i] == (put{}) {
			puts[i] = p
			sortPuts(puts)
			return true
		}
	}
	return late
}

// leave ends the partition object, with and without requests that come late.
func (m *machine) leave(h int, a action, n State) {
	late := n
	n.hosts[h].drop()
	m.emit(h, a, 0, n)
	if m.belated(&late, h) {
		late.hosts[h].drop()
		m.emit(h, a, 0, late)
	}
}

// sortPuts makes equal sets equal arrays; free places come last.
func sortPuts(p *[maxPuts]put) {
	if p[1].key() > p[0].key() {
		p[0], p[1] = p[1], p[0]
	}
}

func (p put) key() uint64 {
	r := p.record
	return uint64(p.slot)<<40 | uint64(p.session)<<32 | uint64(r.epoch)<<24 | uint64(r.ops)<<16 | uint64(r.prev.epoch)<<8 | uint64(r.prev.ops)
}

// underWay reports whether a create-only request may still take effect.
func (s *State) underWay() bool {
	for h := range s.hosts {
		if s.puts[h][0] != (put{}) || s.hosts[h].append == asking {
			return true
		}
	}
	return false
}

// network lets what came late take effect, or get lost.
func (m *machine) network(s *State, h int) {
	for i, p := range s.puts[h] {
		if p == (put{}) {
			continue
		}
		if s.slot(p.slot) == (record{}) { // a copy may follow
			n := *s
			wrong := m.write(&n, p.session, p.slot, p.record)
			m.emitWrong(h, actLateSlot, p.slot, n, wrong)
		}
		n := *s
		n.puts[h][i] = put{}
		sortPuts(&n.puts[h])
		m.emit(h, actLoseSlot, p.slot, n)
	}
	if c := s.cas[h]; c != (cas{}) {
		n := *s
		n.cas[h] = cas{}
		m.emit(h, actLoseRoot, 0, n)
		if won, wrong := m.replaces(&n, c); won {
			m.emitWrong(h, actLateRoot, 0, n, wrong)
		}
	}
}

// write is a create-only PUT into a slot that is free.
func (m *machine) write(n *State, session, slot uint8, r record) *Violation {
	n.slots[slot-1] = r
	if n.claimed[r.epoch-1] != session {
		return violated(OneOwner, "two sessions write under epoch %d", r.epoch)
	}
	return nil
}

// replaces is the store's part of a replacement.
func (m *machine) replaces(n *State, c cas) (won bool, wrong *Violation) {
	before, old := n.root, c.old
	if m.rules.CheckpointApart {
		if c.kind == publishing {
			if before.ckpt != 0 && n.file(before.ckpt).seq >= n.file(c.new.ckpt).seq {
				return false, nil // an older one, or the name is taken
			}
			n.root.prev, n.root.ckpt = before.ckpt, c.new.ckpt
			return true, nil
		}
		old.ckpt, old.prev = before.ckpt, before.prev
		c.new.ckpt, c.new.prev = before.ckpt, before.prev
	}
	if before != old && !m.rules.RootWithoutTag {
		return false, nil
	}
	n.root = c.new
	if c.new.epoch < before.epoch {
		wrong = violated(EpochGrows, "the epoch falls from %d to %d", before.epoch, c.new.epoch)
	}
	if c.kind == claiming {
		if was := n.claimed[c.new.epoch-1]; was != 0 && was != c.session {
			wrong = violated(OneOwner, "two sessions claim epoch %d", c.new.epoch)
		}
		n.claimed[c.new.epoch-1] = c.session
	}
	return true, wrong
}

// trouble is what happens to hosts and to the bucket.
func (m *machine) trouble(s *State, h int) {
	me := &s.hosts[h]
	switch {
	case me.alive:
		// A host is frozen wherever it does not move while others do. It is evicted
		// when its lease has run out, so from its own view too.
		n := *s
		n.hosts[h].alive = false
		if m.rules.Expiry { // silent for its whole lease: the signatures have ended too
			n.puts[h], n.cas[h] = [maxPuts]put{}, cas{}
		}
		m.emit(h, actEvict, 0, n)
		// A crash is proven by the lock file while its requests may still land.
		m.crash(s, h)
		if me.phase != closed {
			m.leave(h, actAbandon, *s)
		}
	case me.phase != closed:
		m.leave(h, actLost, *s)
	case me.gen < m.bounds.Sessions:
		n := *s
		n.hosts[h].gen++
		n.hosts[h].alive = true
		m.emit(h, actOpen, 0, n)
	}
	if h == 0 && s.harm < m.bounds.Damage && s.root.ckpt != 0 && s.file(s.root.ckpt).life == there {
		n := *s
		n.harm++
		n.file(s.root.ckpt).life = damaged
		m.emit(h, actDamage, s.root.ckpt, n)
	}
}

// crash ends the process; the session is over, since its lock file can be locked.
func (m *machine) crash(s *State, h int) {
	late := *s
	n := *s
	n.hosts[h].drop()
	n.hosts[h].alive = false
	m.emit(h, actCrash, 0, n)
	if m.belated(&late, h) {
		late.hosts[h].drop()
		late.hosts[h].alive = false
		m.emit(h, actCrash, 0, late)
	}
}
