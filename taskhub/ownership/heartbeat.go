package ownership

import (
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// sendHeartbeat tells the other hosts that this one is alive, and what it owns. A host whose
// lease cannot be trusted says nothing: the others must look after its partitions.
func (m *Manager) sendHeartbeat() {
	if m.cfg.Network == nil {
		return
	}
	m.mu.Lock()
	session := m.session
	b, to := m.view.Tell(m.cfg.Sched.Mono(), m.Leaving())
	m.mu.Unlock()
	if !session.Alive() {
		return
	}
	w := toWire(b)
	m.cfg.Offer(w)
	m.post(w, to)
}

// tellDormant tells the other hosts, or only the one at an address, that this one hibernates.
func (m *Manager) tellDormant(address string) {
	if m.cfg.Network == nil {
		return
	}
	m.mu.Lock()
	b, to := m.view.TellDormant()
	m.mu.Unlock()
	if address != "" {
		to = []string{address}
	}
	m.post(toWire(b), to)
}

func (m *Manager) post(w *transport.Heartbeat, to []string) {
	post := &transport.Post{Hub: m.cfg.Hub, What: &transport.Post_Heartbeat{Heartbeat: w}}
	for _, address := range to {
		m.cfg.Network.Peer(address).Post(post)
	}
}

// Heartbeat takes another host's.
func (m *Manager) Heartbeat(w *transport.Heartbeat) {
	jitter := time.Duration(0)
	if len(w.Released) > 0 {
		jitter = m.wakeJitter()
	}
	var c cluster.Changes
	m.change(func(v *cluster.View) { c = v.Heartbeat(m.cfg.Sched.Mono(), jitter, fromWire(w)) })
	m.apply(c)
	if c.TellDormant {
		m.tellDormant(w.Address)
	}
}

// Disconnected notes that the connection to an address broke.
func (m *Manager) Disconnected(address string) {
	var c cluster.Changes
	m.change(func(v *cluster.View) { c = v.Disconnected(m.cfg.Sched.Mono(), address) })
	m.apply(c)
}

// wakeJitter draws by how much this host lets another one be first at a timer.
func (m *Manager) wakeJitter() time.Duration {
	var b [1]byte
	m.cfg.Sched.Random(b[:])
	return cluster.WakeAhead * time.Duration(b[0]) / 256
}

func toWire(b *cluster.Heartbeat) *transport.Heartbeat {
	w := &transport.Heartbeat{Session: b.Session, Address: b.Address, Leaving: b.Leaving, Idle: b.Idle, Dormant: b.Dormant}
	for _, o := range b.Owned {
		owned := &transport.Owned{Partition: uint32(o.Partition), Epoch: o.Epoch}
		if o.Successor.Session != "" {
			owned.Successor = toHost(o.Successor)
		}
		w.Owned = append(w.Owned, owned)
	}
	for _, r := range b.Released {
		w.Released = append(w.Released, &transport.Released{Partition: uint32(r.Partition), Epoch: r.Epoch, WakeAt: r.WakeAt})
	}
	for _, p := range b.Known {
		w.Known = append(w.Known, toHost(p))
	}
	return w
}

func fromWire(w *transport.Heartbeat) *cluster.Heartbeat {
	b := &cluster.Heartbeat{
		Peer:    cluster.Peer{Session: w.Session, Address: w.Address},
		Leaving: w.Leaving, Idle: w.Idle, Dormant: w.Dormant,
	}
	for _, o := range w.Owned {
		b.Owned = append(b.Owned, cluster.Owned{Partition: int(o.GetPartition()), Epoch: o.GetEpoch(), Successor: fromHost(o.GetSuccessor())})
	}
	for _, r := range w.Released {
		b.Released = append(b.Released, cluster.Released{Partition: int(r.GetPartition()), Epoch: r.GetEpoch(), WakeAt: r.GetWakeAt()})
	}
	for _, p := range w.Known {
		b.Known = append(b.Known, fromHost(p))
	}
	return b
}

func toHost(p cluster.Peer) *transport.Host {
	return &transport.Host{Session: p.Session, Address: p.Address}
}

func fromHost(h *transport.Host) cluster.Peer {
	return cluster.Peer{Session: h.GetSession(), Address: h.GetAddress()}
}
