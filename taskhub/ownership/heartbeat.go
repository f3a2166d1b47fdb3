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
	hello := toHello(b)
	m.cfg.Offer(hello)
	m.post(hello, to)
}

// tellDormant tells the other hosts, or the one at an address, that this one hibernates.
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
	m.post(toHello(b), to)
}

func (m *Manager) post(hello *transport.Hello, to []string) {
	post := &transport.Post{Hub: m.cfg.Hub, What: &transport.Post_Hello{Hello: hello}}
	for _, address := range to {
		m.cfg.Network.Peer(address).Post(post)
	}
}

// Heartbeat takes another host's.
func (m *Manager) Heartbeat(hello *transport.Hello) {
	jitter := time.Duration(0)
	if len(hello.Released) > 0 {
		jitter = m.wakeJitter()
	}
	var c cluster.Changes
	m.change(func(v *cluster.View) { c = v.Heartbeat(m.cfg.Sched.Mono(), jitter, fromHello(hello)) })
	m.apply(c)
	if c.TellDormant {
		m.tellDormant(hello.Address)
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

func toHello(b *cluster.Heartbeat) *transport.Hello {
	hello := &transport.Hello{Session: b.Session, Address: b.Address, Leaving: b.Leaving, Sleepy: b.Idle, Asleep: b.Dormant}
	for _, o := range b.Owned {
		w := &transport.Owned{Partition: uint32(o.Partition), Epoch: o.Epoch}
		if o.Successor.Session != "" {
			w.Heir = toHost(o.Successor)
		}
		hello.Owned = append(hello.Owned, w)
	}
	for _, r := range b.Released {
		hello.Released = append(hello.Released, &transport.Released{Partition: uint32(r.Partition), Epoch: r.Epoch, WakeAt: r.WakeAt})
	}
	for _, p := range b.Known {
		hello.Known = append(hello.Known, toHost(p))
	}
	return hello
}

func fromHello(hello *transport.Hello) *cluster.Heartbeat {
	b := &cluster.Heartbeat{
		Peer:    cluster.Peer{Session: hello.Session, Address: hello.Address},
		Leaving: hello.Leaving, Idle: hello.Sleepy, Dormant: hello.Asleep,
	}
	for _, o := range hello.Owned {
		b.Owned = append(b.Owned, cluster.Owned{Partition: int(o.GetPartition()), Epoch: o.GetEpoch(), Successor: fromHost(o.GetHeir())})
	}
	for _, r := range hello.Released {
		b.Released = append(b.Released, cluster.Released{Partition: int(r.GetPartition()), Epoch: r.GetEpoch(), WakeAt: r.GetWakeAt()})
	}
	for _, p := range hello.Known {
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
