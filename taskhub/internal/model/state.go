package model

// The widest bounds that a State has room for; Bounds choose within them.
const (
	maxSlots  = 6
	maxFiles  = 3
	maxEpochs = 4
	maxPuts   = 2
)

// stamp is a record's identity, and stands for its digest: no two records of a
// protocol that is right have the same epoch and operations.
type stamp struct {
	epoch uint8
	ops   uint8 // a set: bit n is operation n; none for an epoch record
}

// record is one log record. The zero record is a free slot, since epochs begin with 1.
type record struct {
	stamp
	prev stamp
}

// root is the one replaceable object. A tag is its whole content: it never comes back.
type root struct {
	epoch uint8
	owner uint8 // session, 0: released
	ckpt  uint8 // file, 0: none
	prev  uint8
}

// file is one checkpoint: what the state was when it was taken.
type file struct {
	life uint8
	seq  uint8
	at   stamp
	ops  uint8
}

// The life of a file. Its name is never used again.
const (
	unused uint8 = iota
	there
	damaged
	deleted
)

// put is the PUT of a log slot that nobody waits for any more and that is on its way, in
// any number of copies: it may take effect at any moment, more than once, or never. The
// zero put is none.
type put struct {
	session uint8
	slot    uint8
	record  record
}

// cas is a replacement of the root. Tags do not come back, so it takes effect at most once.
type cas struct {
	session uint8
	kind    uint8
	old     root
	new     root
}

// What a replacement of the root is for.
const (
	none uint8 = iota
	claiming
	publishing
	releasing
)

// The phases of a partition object, as recover goes through them.
const (
	closed   uint8 = iota
	claim          // the root is being replaced
	load           // checkpoint to be read
	replay         // log to be read from seq+1 on
	announce       // epoch record to be written to seq+1
	verify         // ownership to be looked at once more
	serving
)

// The phases of a request that is sent until there is a verdict.
const (
	idle     uint8 = iota
	checked        // append: the lease was alive a moment ago; to be signed and sent
	asking         // sent, perhaps more than once
	answered       // the answer is here and not acted upon: yes
	taken          // append: the answer is no
)

// host is an owner: what its process has in memory.
type host struct {
	gen   uint8 // of its session; grows with every new one
	alive bool  // the session: not evicted, the process not dead
	phase uint8
	root  root // the last one that it read or wrote
	fell  bool // back to the checkpoint before the newest
	// The state: the last record applied and the operations in it.
	seq uint8
	at  stamp
	ops uint8
	// One record is being appended.
	append uint8
	batch  uint8 // its operations
	slot   uint8
	// One replacement of the root is under way.
	write uint8
	kind  uint8
	file  uint8
	// What collect may delete: files found needless by the last sweep, and those for
	// which the grace has passed since.
	collects bool
	noted    uint8
	ripe     uint8
}

// State is everything: the bucket, the network, the owners, and what clients know.
type State struct {
	root  root
	slots [maxSlots]record // slot n is slots[n-1]
	files [maxFiles]file
	puts  [2][maxPuts]put // by host
	cas   [2]cas          // likewise: late ones
	hosts [2]host
	// next is the number of the next operation, acked those that a client was told of.
	next  uint8
	acked uint8
	// harm is how many files were damaged.
	harm uint8
	// claimed is the session that took each epoch.
	claimed [maxEpochs]uint8
}

func initial() State {
	return State{hosts: [2]host{{gen: 1, alive: true}, {gen: 1, alive: true}}}
}

func session(h int, gen uint8) uint8 { return uint8(h)<<4 | gen }

func hostOf(session uint8) int { return int(session >> 4) }

func (s *State) session(h int) uint8 { return session(h, s.hosts[h].gen) }

// ended reports whether a session is known to be over: the observer has evicted it, or a
// lock file proves that its process is dead.
func (s *State) ended(session uint8) bool {
	h := &s.hosts[hostOf(session)]
	return !h.alive || h.gen != session&15
}

// ours is what confirmOwner finds.
func (s *State) ours(h int) bool {
	return s.hosts[h].alive && s.root.epoch == s.hosts[h].root.epoch && s.root.owner == s.session(h)
}

func (s *State) slot(n uint8) record { return s.slots[n-1] }

func (s *State) file(n uint8) *file { return &s.files[n-1] }

// record is what the host is appending.
func (h *host) record() record {
	return record{stamp: stamp{h.root.epoch, h.batch}, prev: h.at}
}

// drop ends the partition object and leaves the session.
func (h *host) drop() { *h = host{gen: h.gen, alive: h.alive} }

// outcome is what apply says of a record.
type outcome uint8

const (
	applied outcome = iota
	void
	fenced
	broken
)

// apply replays the record of the next slot.
func (h *host) apply(r record) outcome {
	switch {
	case r.epoch > h.root.epoch:
		return fenced
	case r.epoch < h.at.epoch:
		h.seq++
		return void
	case r.prev != h.at:
		return broken
	}
	h.seq, h.at, h.ops = h.seq+1, r.stamp, h.ops|r.ops
	return applied
}

// trim is the bound below which log slots are needless: what follows the checkpoint
// before the newest is kept.
func (s *State) trim(r root, rules *Rules) uint8 {
	keep := r.prev
	if rules.TrimToNewest {
		keep = r.ckpt
	}
	if keep == 0 {
		return 1
	}
	return s.file(keep).seq + 1
}
