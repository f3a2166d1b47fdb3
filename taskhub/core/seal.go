package core

// Sealed is what one commit makes durable, and what may leave after it.
type Sealed struct {
	// Batch is the encoded mutation batch; empty when nothing changed.
	Batch []byte
	// Number counts sealed batches; Applied takes it.
	Number  uint64
	Effects Effects
}

// Pending reports whether something waits for a commit. Trimming the outbox,
// forgetting garbage and forgetting requests wait for a commit that has another reason.
func (c *Core) Pending() bool { return c.needed }

// Waiting reports whether effects wait, be it for a commit or for nothing.
func (c *Core) Waiting() bool { return !c.effects.Empty() || c.needed }

// Flush calls done after the commit of everything that was done before it.
func (c *Core) Flush(done func()) { c.reply(done) }

// Seal closes the batch being gathered. When nothing is Pending it holds only
// effects that depend on what was sealed before.
func (c *Core) Seal() (Sealed, error) {
	if c.err != nil {
		return Sealed{}, c.err
	}
	c.collectSends()
	s := Sealed{Effects: c.effects}
	c.effects = Effects{}
	if !c.needed {
		return s, nil
	}
	c.sealed++
	s.Number = c.sealed
	touched := c.dirty
	c.dirty = nil
	for _, i := range touched {
		if err := c.write(i); err != nil {
			return Sealed{}, err
		}
	}
	if c.metaDirty {
		c.metaDirty = false
		b, err := c.meta.MarshalVT()
		if err != nil {
			return Sealed{}, err
		}
		c.batch.Put([]byte{keyMeta}, b)
	}
	copy(c.sealedSent, c.meta.Sent)
	c.touched[c.sealed] = touched
	s.Batch = c.batch.Bytes()
	c.batch.Reset()
	c.needed, c.unwritten = false, 0
	return s, nil
}

// write adds what changed of one instance to the batch.
func (c *Core) write(i *instance) error {
	i.isDirty = false
	i.sealedIn = c.sealed
	if i.deleted {
		return nil
	}
	if i.isNew {
		i.isNew = false
		c.batch.Put(idKey(i.row.Id), num8(i.num))
	}
	if i.newInput != nil {
		c.batch.Put(numKey(keyInput, i.num), []byte(*i.newInput))
		i.newInput = nil
	}
	if len(i.chunk) > 0 {
		c.batch.Put(historyKey(i.num, i.row.Generation, i.row.Chunks), i.chunk)
		i.row.Chunks++
		i.unapplied = append(i.unapplied, sealedPart{batch: c.sealed, chunk: i.chunk})
		i.chunk = nil
	}
	for _, e := range i.inbox[i.saved:] {
		c.batch.Put(inboxKey(i.num, e.seq), e.framed)
	}
	i.saved = len(i.inbox)
	for _, task := range i.newTasks {
		t := i.open[task]
		if t == nil || t.persisted && !t.changed {
			continue
		}
		t.persisted, t.changed = true, false
		b, err := t.row.MarshalVT()
		if err != nil {
			return err
		}
		c.batch.Put(taskKey(i.num, task), b)
	}
	i.newTasks = i.newTasks[:0]
	b, err := i.row.MarshalVT()
	if err != nil {
		return err
	}
	c.batch.Put(numKey(keyInstance, i.num), b)
	return nil
}

// Applied says that the state shows the sealed batch of that number.
func (c *Core) Applied(number uint64) {
	c.applied = number
	if number == c.sealed {
		copy(c.durableSent, c.sealedSent)
	}
	for _, i := range c.touched[number] {
		n := 0
		for n < len(i.unapplied) && i.unapplied[n].batch <= number {
			n++
		}
		if i.unapplied = i.unapplied[n:]; len(i.unapplied) == 0 {
			i.unapplied = nil
		}
	}
	delete(c.touched, number)
	for id, batch := range c.tombstones {
		if batch <= number {
			delete(c.tombstones, id)
		}
	}
	for id, a := range c.answered {
		if a.batch <= number {
			delete(c.answered, id)
		}
	}
	c.shrink()
}
