package cluster

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// from is a heartbeat of host b.
func from(owned ...Owned) *Heartbeat { return &Heartbeat{Peer: peer("b"), Owned: owned} }

func owns(n int, epoch uint64) Owned { return Owned{Partition: n, Epoch: epoch} }

func handedTo(session string, n int, epoch uint64) Owned {
	return Owned{Partition: n, Epoch: epoch, Successor: peer(session)}
}

// describeChanges writes down what follows, without Wake.
func describeChanges(c Changes) string {
	var list []string
	if c.Replan {
		list = append(list, "replan")
	}
	if len(c.Moved) > 0 {
		list = append(list, fmt.Sprint("moved ", c.Moved))
	}
	if c.TellDormant {
		list = append(list, "tell")
	}
	return strings.Join(list, " ")
}

// What a host believes of partitions after a heartbeat of b, which spoke a second ago, unless
// hosts says something else. Partitions have epoch 5, unless said.
func TestHeartbeatOfPartitions(t *testing.T) {
	for _, test := range []struct {
		name, hosts, parts string
		beat               *Heartbeat
		want, changes      string
	}{
		{"nobody was known to own it", "", "unknown", from(owns(0, 5)), "b", "moved [0]"},
		{"its own, as before", "", "b missed=2", from(owns(0, 5)), "b", ""},
		{"its own, under a new epoch", "", "b", from(owns(0, 6)), "b epoch=6", "moved [0]"},
		{"another one's, under a new epoch", "", "c", from(owns(0, 6)), "b epoch=6", "moved [0]"},
		{"another one's, under the same epoch: the first word counts", "", "c", from(owns(0, 5)), "c", ""},
		{"another one's, under an old epoch", "", "c", from(owns(0, 4)), "c", ""},
		{"one of which the root said that it is free", "", "free by=m", from(owns(0, 5)), "b", "moved [0]"},
		{"one that was free under a later epoch", "", "free epoch=6", from(owns(0, 5)), "free epoch=6", ""},
		{"one that it has released itself: old news", "", "free by=b", from(owns(0, 5)), "free by=b", ""},
		{"a silent owner is heard again", "b 7s", "b state=waiting", from(owns(0, 5)), "b", "replan"},
		{"one whose successor is silent stays with its former owner", "", "c state=waiting", from(owns(0, 5)), "b", "moved [0]"},
		{"one that is served here, under an old epoch", "", "m", from(owns(0, 4)), "m", ""},
		{"one that is served here, under a later one: the log decides", "", "m", from(owns(0, 6)), "m", ""},
		{"one that is claimed here: it will see", "", "m state=opening", from(owns(0, 6)), "m state=opening", ""},
		{"one that is corrupt here, and another has it", "", "m state=parked", from(owns(0, 6)), "b epoch=6", "moved [0]"},
		{"handed over to this host", "", "b", from(handedTo("m", 0, 5)), "free by=b assigned", "replan"},
		{"handed over to this host, told again", "", "free by=b assigned", from(handedTo("m", 0, 5)), "free by=b assigned", ""},
		{"handed over to this host, which claims it", "", "m state=opening", from(handedTo("m", 0, 5)), "m state=opening", ""},
		{"handed over to this host, which serves it", "", "m epoch=6", from(handedTo("m", 0, 5)), "m epoch=6", ""},
		{"handed over to this host, old news", "", "c epoch=6", from(handedTo("m", 0, 5)), "c epoch=6", ""},
		{"handed over to a third, who is known", "c 1s", "b", from(handedTo("c", 0, 5)), "c", ""},
		{"handed over to a third, who is not", "", "b", from(handedTo("c", 0, 5)), "c", "replan"},
		{"handed over to a third, told again", "c 1s", "c", from(handedTo("c", 0, 5)), "c", ""},
		{"handed over to a third, who has it under a later epoch", "c 1s", "c epoch=6", from(handedTo("c", 0, 5)), "c epoch=6", ""},
		{"handed over to a third, told again: the count goes on", "c 1s", "c missed=2", from(handedTo("c", 0, 5)), "c missed=2", ""},
		{"handed over to a third, and is served here: the log decides", "c 1s", "m", from(handedTo("c", 0, 6)), "m", ""},
		{"handed over by this host, and now the successor serves it", "", "b given", from(owns(0, 6)), "b epoch=6", "moved [0]"},
		{"handed over by this host, and the successor does not yet", "", "b given", from(), "b given missed=1", ""},
		{"not listed: counted", "", "b, b, c", from(owns(1, 5)), "b missed=1, b, c", ""},
		{"not listed again", "", "b missed=2", from(), "b missed=3", ""},
		{"not listed, but free", "", "free by=b", from(), "free by=b", ""},
		{"listed under an old epoch: it is its own, all the same", "", "b missed=2", from(owns(0, 4)), "b", ""},
		{"listed as handed over to this host, which has it not from b", "", "b missed=2 epoch=6", from(handedTo("m", 0, 5)), "b missed=3 epoch=6", ""},
		{"a partition that the hub has not", "", "c", from(owns(1, 9), owns(math.MaxInt, 9), owns(-1, 9)), "c", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.hosts == "" {
				test.hosts = "b 1s"
			} else if !strings.Contains(test.hosts, "b ") {
				test.hosts += ", b 1s"
			}
			v := build(t, "", test.hosts, test.parts)
			c := v.Heartbeat(clock, 0, test.beat)
			if got := describeAll(v); got != test.want {
				t.Errorf("believes %q, want %q", got, test.want)
			}
			if got := describeChanges(c); got != test.changes || !c.Wake {
				t.Errorf("changes %q, want %q; wake: %t", got, test.changes, c.Wake)
			}
		})
	}
}

func TestHeartbeatOfReleased(t *testing.T) {
	const at = wall + int64(time.Hour)
	for _, test := range []struct {
		name, me, parts string
		released        Released
		want            string
		wakeAt          int64 // if it is released then
	}{
		{"its own", "", "b", Released{0, 5, 0}, "free by=b released", 0},
		{"with a timer: its host is first, or this one, which comes a little later", "", "b", Released{0, 5, at}, "free by=b released", at - int64(WakeAhead) + 7},
		{"while this one hibernates too", "hibernates", "b", Released{0, 5, 0}, "free by=b released state=dormant", 0},
		{"told again", "", "free by=b released", Released{0, 5, at}, "free by=b released", 0},
		{"under a later epoch than known", "", "c", Released{0, 6, 0}, "free by=b released epoch=6", 0},
		{"of another one's", "", "c", Released{0, 5, 0}, "c", 0},
		{"old news", "", "b epoch=6", Released{0, 5, 0}, "b epoch=6", 0},
		{"of one that is served here meanwhile", "", "m epoch=6", Released{0, 5, 0}, "m epoch=6", 0},
		{"a partition that the hub has not", "", "b", Released{1, 5, 0}, "b", 0},
		{"a partition below none", "", "b", Released{-1, 5, 0}, "b", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, test.me, "b 1s", test.parts)
			v.Heartbeat(clock, 7, &Heartbeat{Peer: peer("b"), Idle: true, Dormant: true, Released: []Released{test.released}})
			// That a dormant host lists nothing else is no news.
			v.parts[0].missed = 0
			if got, p := describeAll(v), v.Partition(0); got != test.want || p.WakeAt != test.wakeAt {
				t.Errorf("believes %q, served at %d, want %q, %d", got, p.WakeAt, test.want, test.wakeAt)
			}
		})
	}
}

func TestHeartbeatOfHosts(t *testing.T) {
	for _, test := range []struct {
		name, me, hosts string
		beat            Heartbeat
		changes         string
		anew            bool // the set of hosts has changed
		want            Host
	}{
		{"a host that is known", "", "b 1s", Heartbeat{}, "", false, Host{Alive: true}},
		{"a host that is not", "", "", Heartbeat{}, "replan", true, Host{Alive: true}},
		{"a silent one", "", "b 6s", Heartbeat{}, "replan", true, Host{Alive: true}},
		{"one whose first word it is", "", "b never", Heartbeat{}, "replan", true, Host{Alive: true}},
		{"it leaves", "", "b 1s", Heartbeat{Leaving: true}, "replan", true, Host{Alive: true, Leaving: true}},
		{"it leaves, told again", "", "b 1s leaving", Heartbeat{Leaving: true}, "", false, Host{Alive: true, Leaving: true}},
		{"it has become idle", "", "b 1s", Heartbeat{Idle: true}, "replan", false, Host{Alive: true, Idle: true}},
		{"it is idle no more", "", "b 1s idle", Heartbeat{}, "replan", false, Host{Alive: true}},
		{"it hibernates", "", "b 1s idle", Heartbeat{Idle: true, Dormant: true}, "replan", false, Host{Idle: true, Dormant: true}},
		{"it hibernates: what it said before is old news", "", "b 1s dormant", Heartbeat{}, "replan", true, Host{Idle: true, Dormant: true}},
		{"it is idle, and this one hibernates", "hibernates", "b 1s idle", Heartbeat{Idle: true}, "tell", false, Host{Alive: true, Idle: true}},
		{"it hibernates, and this one does", "hibernates", "b 1s idle", Heartbeat{Idle: true, Dormant: true}, "replan", false, Host{Idle: true, Dormant: true}},
		{"it knows another one", "", "b 1s", Heartbeat{Known: []Peer{peer("b"), peer("m"), peer("c")}}, "replan", true, Host{Alive: true}},
		{"it knows those that are known", "", "b 1s, c 1s", Heartbeat{Known: []Peer{peer("c")}}, "", false, Host{Alive: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, test.me, test.hosts, "m")
			v.hostsSince = 0
			test.beat.Peer, test.want.Peer = peer("b"), peer("b")
			c := v.Heartbeat(clock, 0, &test.beat)
			if got := describeChanges(c); got != test.changes || (v.hostsSince == clock) != test.anew {
				t.Errorf("changes %q, want %q; the hosts are others: %t", got, test.changes, v.hostsSince == clock)
			}
			if got := v.Hosts(clock)[0]; got != test.want {
				t.Errorf("host is %+v, want %+v", got, test.want)
			}
		})
	}
}

// Whom a host does not take for another one.
func TestHeartbeatOfNobody(t *testing.T) {
	for name, p := range map[string]Peer{
		"its own":                 peer("m"),
		"of its session before":   {"l", "m:1"},
		"without an address":      {"b", ""},
		"without a session":       {"", "b:1"},
		"of its, elsewhere":       {"m", "b:1"},
		"without anything at all": {},
	} {
		v := build(t, "", "", "free 1s")
		c := v.Heartbeat(clock, 0, &Heartbeat{Peer: p, Owned: []Owned{owns(0, 9)}})
		if len(v.hosts) != 0 || describeAll(v) != "free" || describeChanges(c) != "" || c.Wake {
			t.Errorf("heartbeat %s: %+v, %s", name, v.hosts, describeAll(v))
		}
	}
	v := build(t, "alone", "", "free 1s")
	if v.Heartbeat(clock, 0, from(owns(0, 9))); len(v.hosts) != 0 || describeAll(v) != "free" {
		t.Error("a host that is alone has heard another one")
	}
}

// A host may be told nonsense by a later version, or by mistake.
func TestHugeHeartbeat(t *testing.T) {
	b := &Heartbeat{Peer: peer("b")}
	for i := range 3000 {
		n := i - 1000
		b.Owned = append(b.Owned, owns(n, uint64(i)), handedTo(fmt.Sprint("s", i), n, math.MaxUint64))
		b.Released = append(b.Released, Released{n, math.MaxUint64, math.MinInt64}, Released{n, 1, math.MaxInt64})
		b.Known = append(b.Known, peer(fmt.Sprint("k", i)), Peer{})
	}
	v := build(t, "", "", "free 1s, m, c")
	for range 2 {
		v.Heartbeat(clock, WakeAhead, b)
		v.Tick(clock, wall, v.activity)
		v.Plan(clock)
	}
}

func TestRoot(t *testing.T) {
	for _, test := range []struct {
		name, parts string
		root        Root
		want        string
		changes     string
	}{
		{"there is none: whoever claims is told", "unknown epoch=0", Root{Missing: true}, "free by=m epoch=0", ""},
		{"it cannot be read, and a host has said that it owns it", "b", Root{Missing: true}, "free by=m", ""},
		{"it was released", "b", Root{Epoch: 6}, "free by=m epoch=6", ""},
		{"it was released under the epoch that is known", "b", Root{Epoch: 5}, "free by=m", ""},
		{"it was handed over by this host, who was not heard of", "b given", Root{Epoch: 5}, "b given", ""},
		{"it was handed over by this host, and released again", "b given", Root{Epoch: 6}, "free by=m epoch=6", ""},
		{"it was released to hibernate, and then again, not to", "free by=b released", Root{Epoch: 6}, "free by=m epoch=6", ""},
		{"it was released before what is known", "b epoch=6", Root{Epoch: 5}, "b epoch=6", ""},
		{"this host owned it, as it seems", "unknown", Root{Epoch: 5, Owner: "m"}, "free by=m", ""},
		{"this host serves it: nothing is new", "m", Root{Epoch: 9, Owner: "b", Live: true, Address: "b:1"}, "m", ""},
		{"this host claims it: nothing is new", "m state=opening", Root{Epoch: 9}, "m state=opening", ""},
		{"another one that is known owns it", "unknown", Root{Epoch: 5, Owner: "b", Live: true, Address: "b:1"}, "b", ""},
		{"one that is not known owns it", "unknown", Root{Epoch: 5, Owner: "c", Live: true, Address: "c:1"}, "c", "replan"},
		{"one whose session cannot be read owns it", "unknown", Root{Epoch: 5, Owner: "c", Live: true}, "c", ""},
		{"one that has ended owned it", "unknown", Root{Epoch: 5, Owner: "c"}, "free by=c", ""},
		{"another one than is known, later", "b", Root{Epoch: 6, Owner: "c", Live: true, Address: "c:1"}, "c epoch=6", "replan"},
		{"another one than is known, before", "b epoch=6", Root{Epoch: 5, Owner: "c", Live: true, Address: "c:1"}, "b epoch=6", ""},
		{"what is known, though it has ended: an observer says so", "b", Root{Epoch: 5, Owner: "b"}, "b", ""},
		{"it was believed to be free, and is not", "free by=b", Root{Epoch: 5, Owner: "b", Live: true, Address: "b:1"}, "b", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "", "b 1s", test.parts)
			c := v.Root(clock, 0, test.root)
			if got := describeAll(v); got != test.want || describeChanges(c) != test.changes {
				t.Errorf("believes %q (%s), want %q (%s)", got, describeChanges(c), test.want, test.changes)
			}
		})
	}
}

func TestRootWhileDormant(t *testing.T) {
	const at = wall + int64(time.Hour)
	for _, test := range []struct {
		name, parts string
		root        Root
		want        string
		owned       bool
		wakeAt      int64
	}{
		{"somebody has it", "free by=m released", Root{Epoch: 6, Owner: "b"}, "free by=m epoch=6", true, 0},
		{"somebody has had it before", "free by=m released epoch=7", Root{Epoch: 6, Owner: "b"}, "free by=m epoch=7", true, 0},
		{"nobody, as known", "free by=m released", Root{Epoch: 5, WakeAt: at}, "free by=m released", false, 0},
		{"somebody had it meanwhile", "free by=m released", Root{Epoch: 6, WakeAt: at}, "free released epoch=6 state=dormant", false, at - int64(WakeAhead) + 7},
		{"somebody had it, and hibernates", "free by=m", Root{Epoch: 5}, "free released state=dormant", false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "hibernates", "", test.parts)
			owned := v.RootWhileDormant(clock, 7, 0, test.root)
			if got := describeAll(v); got != test.want || owned != test.owned || v.parts[0].WakeAt != test.wakeAt {
				t.Errorf("believes %q, owned: %t, served at %d; want %q, %t, %d", got, owned, v.parts[0].WakeAt, test.want, test.owned, test.wakeAt)
			}
		})
	}
}

func TestObserved(t *testing.T) {
	for _, test := range []struct {
		name, parts string
		owner       Peer
		problem     string
		told        bool
		changes     string
		detail      string // of the first partition
	}{
		{"where it is reached", "x state=waiting", peer("x"), "", true, "replan", "owned by session x"},
		{"it has ended", "x state=waiting", Peer{"x", ""}, "", true, "", "owned by session x"},
		{"it cannot be read", "x state=waiting", Peer{"x", ""}, "garbage", true, "", "owned by session x, which cannot be read: garbage"},
		{"it speaks again", "x", peer("x"), "", false, "", ""},
		{"it has ended meanwhile", "free by=x", peer("x"), "", false, "", ""},
		{"the owner of others", "y state=waiting", peer("x"), "", false, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "", "", test.parts)
			v.parts[0].Address = ""
			told, c := v.Observed(clock, test.owner, test.problem)
			if p := v.Partition(0); told != test.told || describeChanges(c) != test.changes || p.Detail != test.detail {
				t.Errorf("told: %t, %q, detail %q", told, describeChanges(c), p.Detail)
			}
			if told, c := v.Observed(clock, test.owner, test.problem); told || c.Replan {
				t.Error("the same is new once more")
			}
		})
	}
}

func TestEnded(t *testing.T) {
	v := build(t, "", "b 7s, c 1s", "b state=waiting, c, m, b given, free 9s by=b released")
	v.Ended(clock, "b")
	if got, want := describeAll(v), "free by=b, c, m, free by=b, free by=b released"; got != want {
		t.Errorf("believes %q, want %q", got, want)
	}
	if len(v.hosts) != 1 || v.hosts[0].Session != "c" || v.hostsSince != clock {
		t.Errorf("hosts: %+v, since %v", v.hosts, v.hostsSince)
	}
	if v.parts[0].freeSince != clock || v.parts[4].freeSince != clock-9*time.Second {
		t.Error("since when they are free is wrong")
	}
	if got := describePlan(v.Plan(clock)); got != "claim 3 4" { // 4 is c's, and was free for long
		t.Errorf("then the plan is %q", got)
	}
}

func TestDisconnected(t *testing.T) {
	v := build(t, "", "b 1s, c 1s", "b, c")
	if c := v.Disconnected(clock, "b:1"); !c.Replan || v.hostsSince != clock {
		t.Error("a broken connection changes nothing")
	}
	if got := describePlan(v.Plan(clock)); got != "observe b" {
		t.Errorf("then the plan is %q", got)
	}
	if v.Disconnected(clock, "b:1").Replan || v.Disconnected(clock, "x:1").Replan {
		t.Error("it breaks once more")
	}
	v.Heartbeat(clock, 0, from(owns(0, 5)))
	if got := describePlan(v.Plan(clock)); got != "nothing" {
		t.Errorf("once it has spoken again the plan is %q", got)
	}
}

func TestRecheck(t *testing.T) {
	v := build(t, "", "b 1s", "b, b missed=5, m, m")
	v.Recheck(0)
	if got := describePlan(v.Plan(clock)); got != "recheck 0 1" {
		t.Errorf("the plan is %q", got)
	}
	v.Rechecking(0)
	v.Rechecking(1)
	if got := describePlan(v.Plan(clock)); got != "nothing" {
		t.Errorf("while they are read the plan is %q", got)
	}
}

// The time of patience does not begin again when it is told once more that one is free.
func TestFreeSince(t *testing.T) {
	v := build(t, "", "b 1s", "free 9s by=b")
	v.Root(clock, 0, Root{Epoch: 6})
	if got := v.parts[0].freeSince; got != clock-9*time.Second {
		t.Errorf("it is free for %v, want 9s", clock-got)
	}
}
