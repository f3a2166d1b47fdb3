package taskhub

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// meetings waits until the hosts hear each other.
func meetings(t *testing.T, hosts ...*hubHost) {
	t.Helper()
	for _, h := range hosts {
		for end := time.Now().Add(time.Minute); hears(h.Hub) < len(hosts)-1; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s hears %d hosts", h.Address(), hears(h.Hub))
			}
		}
	}
}

// teamOf opens a host for each crew; the first one owns the partition of the hub. No
// partition moves by itself: there is only one.
func teamOf(t *testing.T, b *bucket, crews ...*crew) (hosts []*hubHost, board *switchboard) {
	t.Helper()
	board = newSwitchboard()
	for n, c := range crews {
		h := host(t, b, board.at(fmt.Sprint("host", n)), never, c.works)
		if n == 0 {
			h.reaches(t, time.Minute, cluster.Serving)
		}
		hosts = append(hosts, h)
	}
	meetings(t, hosts...)
	return hosts, board
}

func TestHostsWithDifferentFunctions(t *testing.T) {
	tests := []struct {
		name     string
		crews    []*crew
		episodes []bool // which hosts run some
		calls    []int  // activities of each host
	}{
		{"the owner's host first", []*crew{newCrew(theHello, theSay), newCrew(theHello, theSay)}, []bool{true, false}, []int{3, 0}},
		{"a host without function apps", []*crew{newCrew(), newCrew(theHello, theSay)}, []bool{false, true}, []int{0, 3}},
		{"each has its own", []*crew{newCrew(theHello), newCrew(theSay)}, []bool{true, false}, []int{0, 3}},
		{"of three", []*crew{newCrew(), newCrew(theSay), newCrew(theHello)}, []bool{false, false, true}, []int{0, 3, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				hosts, _ := teamOf(t, b, tt.crews...)
				hosts[len(hosts)-1].begin(t, "i")
				hosts[0].wantDone(t, "i")
				for n, c := range tt.crews {
					calls, episodes := c.calls()
					if len(calls) != tt.calls[n] || (episodes > 0) != tt.episodes[n] {
						t.Errorf("host %d: %d activities and %d episodes", n, len(calls), episodes)
					}
				}
				for n, h := range hosts {
					if h.Late() > 0 {
						t.Errorf("host %d: %d late answers", n, h.Late())
					}
				}
			})
		})
	}
}

func TestFunctionsElsewhereAreKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		second := newCrew(theHello)
		hosts, _ := teamOf(t, b, newCrew(), second, newCrew(theSay, work.Function{Kind: work.Orchestrator, Name: "HELLO"}))
		if got := hosts[0].Elsewhere(); len(got) != 2 || !strings.EqualFold(got[0].Name, theHello.Name) || got[1] != theSay {
			t.Errorf("elsewhere are %v", got)
		}
		second.has = append(second.has, work.Function{Kind: work.Orchestrator, Name: "New"})
		hosts[1].Reconsider()
		time.Sleep(10 * wireLatency)
		if got := hosts[0].Elsewhere(); len(got) != 3 {
			t.Errorf("a function is there: %v", got)
		}
	})
}

func TestWorkThatWaitsGoesToTheHostThatComesWithItsFunction(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		hosts, board := teamOf(t, b, newCrew())
		hosts[0].begin(t, "i")
		host(t, b, board.at("late"), never, newCrew(theHello, theSay).works)
		hosts[0].wantDone(t, "i")
	})
}

func TestWorkSpillsOverWhenTheOwnerIsFull(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		owner, other := newCrew(theHello, theSay), newCrew(theHello, theSay)
		owner.slots, owner.held = 1, make(chan struct{})
		hosts, _ := teamOf(t, b, owner, other)
		ids := names("i", 3)
		for _, id := range ids {
			hosts[0].begin(t, id)
		}
		other.waitBegun(t, 6)
		if calls, _ := owner.calls(); len(calls) != 1 {
			t.Errorf("%d activities on the owner's host, which has one slot", len(calls))
		}
		close(owner.held)
		hosts[0].wantDone(t, ids...)
	})
}

// A partition moves while its activity runs: nothing starts again, wherever it runs, and
// the new owner gets the result.
func TestMovesLeaveRunningActivitiesAlone(t *testing.T) {
	tests := []struct {
		name  string
		crews func(held chan struct{}) []*crew
		early bool // the activity ends before the new owner serves
	}{
		{"on the former owner's host", func(held chan struct{}) []*crew {
			c := []*crew{newCrew(theHello, theSay), newCrew(theHello, theSay)}
			c[0].held = held
			return c
		}, false},
		{"on the former owner's host, and ends in between", func(held chan struct{}) []*crew {
			c := []*crew{newCrew(theHello, theSay), newCrew(theHello, theSay)}
			c[0].held = held
			return c
		}, true},
		{"on the new owner's host", func(held chan struct{}) []*crew {
			c := []*crew{newCrew(theHello), newCrew(theHello, theSay)}
			c[1].held = held
			return c
		}, false},
		{"on a third host", func(held chan struct{}) []*crew {
			c := []*crew{newCrew(theHello), newCrew(theHello), newCrew(theSay)}
			c[2].held = held
			return c
		}, false},
		{"on a third host, and ends in between", func(held chan struct{}) []*crew {
			c := []*crew{newCrew(theHello), newCrew(theHello), newCrew(theSay)}
			c[2].held = held
			return c
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bucket) {
				held := make(chan struct{})
				crews := tt.crews(held)
				hosts, _ := teamOf(t, b, crews...)
				hosts[0].begin(t, "i")
				began := func() (all []*work.Item) {
					for _, c := range crews {
						calls, _ := c.calls()
						all = append(all, calls...)
					}
					return all
				}
				for len(began()) == 0 {
					time.Sleep(time.Millisecond)
				}
				if err := hosts[0].owners.HandOver(t.Context(), 0, cluster.Peer{Session: hosts[1].Session(), Address: "host1"}); err != nil {
					t.Fatal(err)
				}
				if tt.early {
					close(held)
				}
				hosts[1].reaches(t, time.Minute, cluster.Serving)
				time.Sleep(5 * time.Second)
				if !tt.early {
					if n := len(began()); n != 1 {
						t.Fatalf("%d activities were begun, one goes on", n)
					}
					close(held)
				}
				hosts[2%len(hosts)].wantDone(t, "i")
				if n := len(began()); n != 3 {
					t.Errorf("%d activities were begun, want 3", n)
				}
				for n, h := range hosts {
					left := h.places.Answer(&transport.Request{Op: &transport.Request_InFlight{InFlight: &transport.InFlight{Epoch: 1 << 20}}})
					if len(left.Tasks) > 0 {
						t.Errorf("host %d still runs, or keeps, %v", n, left.Tasks)
					}
				}
			})
		})
	}
}

// A host dies, as far as the owner can see, with an activity: after a lease it runs
// elsewhere, as another attempt at the same call, and what the first one answers is late.
func TestLateAnswersAreDroppedAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		owner, dies, other := newCrew(theHello), newCrew(theSay), newCrew()
		dies.held = make(chan struct{})
		hosts, board := teamOf(t, b, owner, dies, other)
		hosts[0].begin(t, "i")
		first := dies.waitBegun(t, 1)[0]
		board.cut("host1")
		hosts[1].crash() // its lease ends, and it sends no heartbeats any more
		other.mu.Lock()
		other.has = []work.Function{theSay}
		other.mu.Unlock()
		hosts[2].Reconsider()
		second := other.waitBegun(t, 1)[0]
		if second.Attempt <= first.Attempt || second.Token == first.Token || second.Task != first.Task {
			t.Errorf("first %+v, then %+v: another attempt at the same call", first, second)
		}
		before := hosts[0].Late()
		close(dies.held)
		time.Sleep(10 * wireLatency)
		if n := hosts[0].Late() - before; n != 1 {
			t.Errorf("%d late answers, want 1", n)
		}
		hosts[0].wantDone(t, "i")
	})
}

// lossy is a network that loses some of what a host posts.
type lossy struct {
	transport.Network
	mu   sync.Mutex
	lose func(p *transport.Post) bool
}

type lossyPeer struct {
	transport.Peer
	n *lossy
}

func (l *lossy) Peer(address string) transport.Peer { return lossyPeer{l.Network.Peer(address), l} }

func (p lossyPeer) Post(m *transport.Post) {
	p.n.mu.Lock()
	lost := p.n.lose(m)
	p.n.mu.Unlock()
	if !lost {
		p.Peer.Post(m)
	}
}

// Each kind of message is lost once, and repeated from then on.
func TestLostAndRepeatedMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		board := newSwitchboard()
		loses := func(o *Options) {
			open := o.Network
			o.Network = func(hub string, key []byte) (transport.Network, error) {
				n, err := open(hub, key)
				seen := map[string]bool{}
				l := &lossy{Network: n}
				l.lose = func(p *transport.Post) bool {
					kind := fmt.Sprintf("%T", p.What)
					switch p.What.(type) {
					case *transport.Post_Work, *transport.Post_Results, *transport.Post_ResultsAck:
					default:
						return false
					}
					again := seen[kind]
					seen[kind] = true
					if again { // twice
						n.Peer("host0").Post(p)
						n.Peer("host1").Post(p)
					}
					return !again
				}
				return l, err
			}
		}
		owner, runs := newCrew(theHello), newCrew(theSay)
		first := host(t, b, board.at("host0"), loses, never, owner.works)
		first.reaches(t, time.Minute, cluster.Serving)
		second := host(t, b, board.at("host1"), loses, never, runs.works)
		meetings(t, first, second)
		first.begin(t, "i")
		first.wantDone(t, "i")
		if calls, _ := runs.calls(); len(calls) != 3 {
			t.Errorf("%d activities were begun, want 3", len(calls))
		}
	})
}

// hears counts the other hosts that h hears.
func hears(h *Hub) (n int) {
	for _, x := range h.owners.Hosts() {
		if x.Alive {
			n++
		}
	}
	return n
}
