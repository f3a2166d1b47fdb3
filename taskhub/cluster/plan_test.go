package cluster

import (
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	for _, test := range []struct{ name, me, hosts, parts, want string }{
		// Claim.
		{"one host, everything free: it takes all", "", "", "free 1s, free 1s", "claim 0 1"},
		{"nothing is known: no claim without the root", "", "", "unknown, unknown", "nothing"},
		{"a free one goes to the host with fewer: here", "", "a 1s", "a, a, m, free 1s", "claim 3"},
		{"a free one goes to the host with fewer: there", "", "z 1s", "m, m, z, free 1s", "nothing"},
		{"as many here as there: the session that comes first", "", "z 1s", "m, z, free 1s", "claim 2"},
		{"as many here as there: the other session comes first", "", "a 1s", "m, a, free 1s", "nothing"},
		{"all free: turn by turn, the first session first", "", "a 1s, z 1s", "free 1s, free 1s, free 1s, free 1s, free 1s", "claim 1 4"},
		{"the other one has not claimed for the time of patience: still its", "", "z 1s", "m, m, z, free 2s", "nothing"},
		{"nor for longer", "", "z 1s", "m, m, z, free 2001ms", "claim 3"},
		{"a silent host gets none", "", "a 6s", "m, free 1s", "claim 1"},
		{"one that has just not fallen silent does", "", "a 5999ms", "m, free 1s", "nothing"},
		{"one that has never spoken gets none", "", "a never", "m, free 1s", "claim 1"},
		{"a leaving host gets none", "", "a 1s leaving", "m, free 1s", "claim 1"},
		{"a dormant host gets none", "", "a 1s dormant", "m, free 1s", "claim 1"},
		{"what was meant for this host is its, however many it has", "", "a 1s", "m, m, m, free 1s assigned", "claim 3"},
		{"what was meant for it counts when the next is given out", "", "z 1s", "free 1s assigned, free 1s", "claim 0"},
		{"one being claimed counts", "", "z 1s", "m state=opening, free 1s", "nothing"},
		{"a corrupt one counts", "", "z 1s", "m state=parked, free 1s", "nothing"},
		{"alone: the first partition first", "alone", "", "free 1s, free 1s, free 9s", "claim 0"},
		{"alone: while it is being opened, no other", "alone", "", "m state=opening, free 9s", "nothing"},
		{"alone: with the first, the others", "alone", "", "m, free 1s, free 1s", "claim 1 2"},
		{"alone: the first is corrupt, the others are not", "alone", "", "m state=parked, free 1s", "claim 1"},
		{"alone: another has the first", "alone", "", "b, free 9s", "observe b"},
		{"stopping: nothing", "stopping", "", "free 1s, free 9s assigned", "nothing"},
		{"stopping: silent owners are observed, others rechecked", "stopping", "b 7s, c 1s", "b, c missed=3, free 9s", "observe b, recheck 1"},
		{"released to hibernate, and this host is not idle: it takes it", "", "a 1s dormant", "m, free 1s released", "claim 1"},
		{"released, while idle among the busy: it waits", "idle", "z 1s", "m, z, free 1999ms released", "nothing"},
		{"released, while idle among the busy, for long", "idle", "z 1s", "m, z, free 2s released", "claim 2"},

		// Observe.
		{"a silent owner", "", "b 6s", "m, b", "observe b"},
		{"a silent owner of several: once", "", "b 6s", "b, m, b, b state=waiting", "observe b"},
		{"two silent owners", "", "b 6s, c never", "c, b, c", "observe c b"},
		{"an owner that is not even known as a host", "", "", "m, b", "observe b"},
		{"an owner that speaks", "", "b 5999ms", "m, b", "nothing"},
		{"an owner that hibernates, by its own word, but owns", "", "b 1s dormant", "m, b", "observe b"},
		{"an owner that has ended", "", "b 7s", "m, free 1s by=b", "claim 1"},
		{"to whom one was handed over, and who is silent", "", "b 7s", "m, b given", "observe b"},

		// Recheck.
		{"an owner that speaks, and does not list one for the third time", "", "b 1s", "m, b missed=3, b missed=2", "recheck 1"},
		{"a silent owner is observed instead", "", "b 6s", "m, b missed=3", "observe b"},
		{"one that is free needs none", "", "b 1s", "m, free 1s by=b missed=3", "nothing"},

		// Ask.
		{"two hosts, three partitions and one, the set unchanged for a lease: ask", "hosts 10s", "b 1s", "b, b, b, m", "ask b with 1"},
		{"the set of hosts has changed within a lease", "hosts 9999ms", "b 1s", "b, b, b, m", "nothing"},
		{"two and one: as even as it gets", "", "b 1s", "b, b, m", "nothing"},
		{"two and none", "", "b 1s", "b, b", "ask b with 0"},
		{"a third host has fewer still, and asks itself", "", "b 1s, c 1s", "b, b, b, m", "nothing"},
		{"a third host has as few, and its session comes first", "", "b 1s, c 1s", "b, b, b, m, c", "nothing"},
		{"a third host has as few, and its session comes later", "", "b 1s, z 1s", "b, b, b, m, z", "ask b with 1"},
		{"of two that have too many, the one with more", "", "b 1s, c 1s", "b, b, b, c, c, c, c, m", "ask c with 1"},
		{"of two that have as many, the one met first", "", "c 1s, b 1s", "b, b, b, c, c, c, m", "ask c with 1"},
		{"not before it has settled", "joined 9999ms", "b 1s", "b, b, b, m", "nothing"},
		{"once it has settled", "joined 10s", "b 1s", "b, b, b, m", "ask b with 1"},
		{"a free one comes first", "", "a 1s", "a, a, a, m, free 1s", "claim 4"},
		{"a free one that another is to take comes first", "", "b 1s, a 1s", "b, b, b, m, free 1s", "nothing"},
		{"one that is being handed over comes first", "", "b 1s", "b, b, b, b given, m", "nothing"},
		{"one that is being opened here comes first", "", "b 1s", "b, b, b, m state=opening", "nothing"},
		{"a corrupt one here holds up nothing", "", "b 1s", "b, b, b, m state=parked", "ask b with 1"},
		{"an idle host asks too, while another one is busy", "idle", "b 1s", "b, b, b, m", "ask b with 1"},
		{"it has asked already", "asking", "b 1s", "b, b, b, m", "nothing"},
		{"it leaves", "stopping", "b 1s", "b, b, b, m", "nothing"},
		{"alone, there is nobody to be asked", "alone", "", "b, b, b, m", "observe b"},
		{"a silent host is not asked", "", "b 6s", "b, b, b, m", "observe b"},
		{"a leaving host gives by itself", "", "b 1s leaving", "b, b, b, m", "nothing"},

		// Hibernate.
		{"one host, idle", "idle", "", "m, m", "hibernate"},
		{"all idle", "idle", "b 1s idle, c 1s idle", "m, b, c", "hibernate"},
		{"this one is not", "", "b 1s idle, c 1s idle", "m, b, c", "nothing"},
		{"another one is not", "idle", "b 1s idle, c 1s", "m, b, c", "nothing"},
		{"a dormant one does not count", "idle", "b 1s idle, c 1s dormant", "m, b, free 9s released by=c", "hibernate"},
		{"a silent one does not count", "idle", "b 6s", "m", "hibernate"},
		{"a leaving one counts", "idle", "b 1s leaving", "m", "nothing"},
		{"nothing is claimed on the way", "idle", "b 1s dormant", "m, free 9s released by=b", "hibernate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, test.me, test.hosts, test.parts)
			if got := describePlan(v.Plan(clock)); got != test.want {
				t.Errorf("\nm: %s; hosts: %s\npartitions: %s\nplan: %s\nwant: %s", test.me, test.hosts, test.parts, got, test.want)
			}
		})
	}
}

// How soon the next plan is made: a heartbeat is 2 s here, quit/6 is 10 s.
func TestNext(t *testing.T) {
	for _, test := range []struct {
		name, hosts, parts string
		hibernateAfter     time.Duration
		want               time.Duration
	}{
		{"all served here, nobody else, no hibernation", "", "m, m", 0, time.Hour},
		{"negative is never as well", "", "m, m", -1, time.Hour},
		{"six times in the time after which the hub hibernates", "", "m, m", quit, 10 * time.Second},
		{"but not all the time", "", "m, m", time.Nanosecond, time.Millisecond},
		{"another host: heartbeats", "b 1s", "m, m", quit, 2 * time.Second},
		{"another host, even a silent one", "b 9s", "m, m", 0, 2 * time.Second},
		{"another host, and sooner than a heartbeat", "b 1s", "m, m", 6 * time.Second, time.Second},
		{"one is not served here", "", "m, b", 0, 2 * time.Second},
		{"one is free", "", "m, free 1s", 0, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "", test.hosts, test.parts)
			v.cfg.HibernateAfter = test.hibernateAfter
			if got := v.Plan(clock).Next; got != test.want {
				t.Errorf("next plan after %v, want %v", got, test.want)
			}
		})
	}
}

// Whether a host is idle: it is looked at now, and once more after a time.
func TestTickFindsOutWhetherTheHostIsIdle(t *testing.T) {
	soonest := wall + int64(soon*quit)
	for _, test := range []struct {
		name  string
		after time.Duration
		parts string // "m, m" unless said
		then  func(v *View, a *Activity)
		want  bool
	}{
		{name: "nothing happens for the time", after: quit, want: true},
		{name: "nothing happens, but for less", after: quit - 1},
		{name: "not positive: never", after: time.Hour, then: func(v *View, _ *Activity) { v.cfg.HibernateAfter = 0 }},
		{name: "negative: never", after: time.Hour, then: func(v *View, _ *Activity) { v.cfg.HibernateAfter = -1 }},
		{name: "a request was begun", after: quit, then: func(_ *View, a *Activity) { a.Requests++ }},
		{name: "one is being answered", after: quit, then: func(_ *View, a *Activity) { a.Answering = true }},
		{name: "it leaves", after: quit, then: func(_ *View, a *Activity) { a.Stopping = true }},
		{name: "it hands over", after: quit, then: func(_ *View, a *Activity) { a.Moving = true }},
		{name: "it has asked", after: quit, then: func(_ *View, a *Activity) { a.Asking = true }},
		{name: "a partition has logged", after: quit, then: func(_ *View, a *Activity) { a.Served[1].Seq++ }},
		{name: "a partition is busy", after: quit, then: func(_ *View, a *Activity) { a.Served[1].Busy = true }},
		{name: "a partition recovers", after: quit, then: func(_ *View, a *Activity) { a.Served[1].Serving = false }},
		{name: "a timer sooner than five times the time", after: quit, then: func(_ *View, a *Activity) { a.Served[0].Timer = soonest }},
		{name: "a timer later than that", after: quit, then: func(_ *View, a *Activity) { a.Served[0].Timer = soonest + 1 }, want: true},
		{name: "a partition is free", after: quit, parts: "m, free 1s"},
		{name: "a partition was released", after: quit, parts: "m, free 1s released", want: true},
		{name: "a partition is another's, that is heard", after: quit, parts: "m, b", want: true},
		{name: "a partition is another's, that is silent", after: quit, parts: "m, c"},
		{name: "a partition was handed over, to one that does not serve yet", after: quit, parts: "m, b given"},
		{name: "a partition is corrupt", after: quit, parts: "m, m state=parked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.parts == "" {
				test.parts = "m, m"
			}
			v := build(t, "", "b 1s, c 9s", test.parts)
			a := Activity{Requests: 3, Served: []Idleness{{Serving: true, Seq: 7}, {Serving: true, Seq: 8}}}
			v.Tick(clock, wall, a)
			if v.idle {
				t.Fatal("idle at once")
			}
			v.hosts[0].lastSeen += test.after
			if test.then != nil {
				test.then(v, &a)
			}
			v.Tick(clock+test.after, wall, a)
			if v.idle != test.want {
				t.Errorf("idle: %t, want %t", v.idle, test.want)
			}
		})
	}
}

// After a request a host is idle again when the whole time has passed once more.
func TestIdleBeginsAgain(t *testing.T) {
	v := build(t, "", "", "m")
	a := Activity{Served: []Idleness{{Serving: true}}}
	for _, look := range []struct {
		after    time.Duration
		requests uint64
		want     bool
	}{
		{0, 0, false}, {quit, 0, true}, {quit + 1, 1, false}, {2 * quit, 1, false}, {2*quit + 1, 1, true},
	} {
		a.Requests = look.requests
		v.Tick(clock+look.after, wall, a)
		if v.Plan(clock+look.after).Hibernate != look.want {
			t.Errorf("after %v, request %d: hibernate: %t, want %t", look.after, look.requests, !look.want, look.want)
		}
	}
}

// What passes with time: hosts fall silent, and are forgotten if they own nothing.
func TestTick(t *testing.T) {
	for _, test := range []struct{ name, hosts, parts, want, left string }{
		{"an owner is heard", "b 1s", "b", "b", "b"},
		{"an owner is silent", "b 6s", "b", "b state=waiting", "b"},
		{"an owner is heard again", "b 1s", "b state=waiting", "b", "b"},
		{"the successor is silent", "b never", "b given", "b given state=waiting", "b"},
		{"a silent owner is not forgotten", "b 59m", "b", "b state=waiting", "b"},
		{"a host without partitions is silent", "b 40s", "m", "m", "b"},
		{"it is forgotten after twenty heartbeats", "b 40001ms", "m", "m", ""},
		{"one that owned and has ended is too", "b 40001ms", "free 1s by=b", "free by=b", ""},
		{"one that hibernates is too", "b 41s dormant, c 39s dormant", "m", "m", "c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "", test.hosts, test.parts)
			v.Tick(clock, wall, v.activity)
			var left string
			for _, h := range v.Hosts(clock) {
				left += h.Session
			}
			if got := describeAll(v); got != test.want || left != test.left {
				t.Errorf("believes %q and knows %q, want %q and %q", got, left, test.want, test.left)
			}
			if changed := v.hostsSince == clock; changed == (len(left) == len(entries(test.hosts))) {
				t.Errorf("the set of hosts has changed: %t", changed)
			}
		})
	}
}
