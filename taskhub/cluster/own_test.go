package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What this host does itself, step by step.
func TestOwn(t *testing.T) {
	for _, test := range []struct {
		name, me, parts string
		do              func(v *View)
		want            string
	}{
		{"it claims one", "", "free by=b assigned released", func(v *View) { v.Claiming(0) }, "m state=opening"},
		{"and serves it", "", "m state=opening", func(v *View) { v.Serving(0, 6) }, "m epoch=6"},
		{"it is tried again", "", "m", func(v *View) { v.Failed(0, Opening, "why") }, "m state=opening"},
		{"it is corrupt", "", "m", func(v *View) { v.Failed(0, Parked, "why") }, "m state=parked"},
		{"it is fenced", "", "m", func(v *View) { v.Fenced(0) }, "unknown"},
		{"it hands it over", "", "m", func(v *View) { v.Moving(0) }, "m state=moving"},
		{"and has", "", "m state=moving", func(v *View) { v.HandedOver(0, 6, peer("b")) }, "b given epoch=6"},
		{"it drops one, and claims it again", "", "m", func(v *View) { v.Dropped(clock, 0, 6) }, "free by=m assigned epoch=6"},
		{"the hub hibernates", "", "m, b, m state=opening", func(v *View) { v.Hibernate() }, "m state=dormant, b, m state=opening"},
		{"its partition is released", "hibernates", "m", func(v *View) { v.Released(clock, 0, 6, 0) }, "free by=m assigned released epoch=6 state=dormant"},
		{"the session ends", "", "m, b", func(v *View) { v.Close(Stopped) }, "m state=stopped, b state=stopped"},
		{"another one begins", "", "m epoch=6, b", func(v *View) { v.Forget() }, "unknown epoch=6, unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, test.me, "b 1s", test.parts)
			v.Drain()
			test.do(v)
			if got := describeAll(v); got != test.want {
				t.Errorf("believes %q, want %q", got, test.want)
			}
			if list := v.Drain(); !slices.Contains(list, 0) || len(v.Drain()) != 0 {
				t.Errorf("changed: %v", list)
			}
		})
	}
}

func TestClaimingTellsWhoHasEnded(t *testing.T) {
	v := build(t, "", "b 1s", "free by=b, free")
	if a, b := v.Claiming(0), v.Claiming(1); a != "b" || b != "" {
		t.Errorf("the sessions that have ended: %q, %q", a, b)
	}
}

// A host hibernates, tells the others when its timers are due, and wakes.
func TestHibernation(t *testing.T) {
	const first, second = wall + int64(time.Hour), wall + int64(2*time.Hour)
	v := build(t, "idle", "b 1s", "m, m, m")
	v.Hibernate()
	if !v.GivenUp(0) || v.IsDormant() {
		t.Error("while partitions are released their end is a failure, or it hibernates already")
	}
	v.Released(clock, 0, 5, second)
	v.Released(clock, 1, 5, first)
	v.Released(clock, 2, 5, 0)
	v.Hibernated(true)
	if at, ok := v.WakeAt(); !ok || at != first-int64(WakeAhead) || !v.IsDormant() {
		t.Errorf("it wakes at %d (%t), want %d", at, ok, first-int64(WakeAhead))
	}

	b, to := v.TellDormant()
	if want := []Released{{0, 5, second}, {1, 5, first}, {2, 5, 0}}; !slices.Equal(b.Released, want) || !slices.Equal(to, []string{"b:1"}) {
		t.Errorf("it tells %v that it has released %v", to, b.Released)
	}
	if !b.Dormant || !b.Idle || b.Peer != peer("m") {
		t.Errorf("it tells %+v", b)
	}

	v.Awake(clock + 1)
	if v.IsDormant() || !v.Hosts(clock + 1)[0].Alive && v.hosts[0].firstSeen != clock+1 {
		t.Error("it is not awake, or the others have no time to wake")
	}
	if v.Join(clock+1, peer("n"), lease); describePlan(v.Plan(clock+1)) != "claim 0 1 2" {
		t.Errorf("then the plan is %q", describePlan(v.Plan(clock+1)))
	}
}

func TestHibernationThatFails(t *testing.T) {
	v := build(t, "idle", "", "m, m")
	v.Hibernate()
	v.Released(clock, 0, 5, 0)
	v.Hibernated(false)
	if v.IsDormant() || describePlan(v.Plan(clock)) != "claim 0" {
		t.Errorf("the plan is %q", describePlan(v.Plan(clock)))
	}
}

func TestGrant(t *testing.T) {
	for _, test := range []struct {
		name, parts string
		owned       int
		want        int // -1: none
	}{
		{"three here, one there: the last one", "m, m, m, b", 1, 2},
		{"three here, two there", "m, m, m", 2, -1},
		{"two here, none there", "m, m, b", 0, 1},
		{"one here, none there", "m", 0, -1},
		{"others count for nothing", "b, b, b, m, free 1s by=m", 0, -1},
		{"one that is being moved is not granted, and counts", "m, m, m state=moving", 1, 1},
		{"nor is a corrupt one, which counts as well", "m, m state=parked, m state=parked", 1, 0},
		{"nor one that is being opened", "m state=opening, m state=opening", 0, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, ok := build(t, "", "b 1s", test.parts).Grant(test.owned)
			if ok != (test.want >= 0) || ok && n != test.want {
				t.Errorf("grants %d (%t), want %d", n, ok, test.want)
			}
		})
	}
}

func TestSuccessors(t *testing.T) {
	for _, test := range []struct{ name, hosts, parts, want string }{
		{"nobody else", "", "m, m", "- -"},
		{"nobody who stays", "b 1s leaving, c 9s, d 1s dormant", "m, m", "- -"},
		{"one other", "b 1s", "m, m", "b b"},
		{"two others: in turn", "b 1s, c 1s", "m, m, m, m", "b c b c"},
		{"two others: first who has fewer", "b 1s, c 1s", "b, b, m, m, m", "- - c c b"},
		{"what is moved already, is opened, or another's", "b 1s", "m state=moving, m state=opening, b, free 1s, m", "- - - - b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := build(t, "", test.hosts, test.parts)
			var got []string
			for _, p := range v.Successors(clock) {
				if p != (Peer{}) && p != peer(p.Session) {
					t.Errorf("no address: %+v", p)
				}
				got = append(got, strings.TrimSpace((p.Session + "-")[:1]))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("they go to %v, want %s", got, test.want)
			}
			if has := strings.Trim(test.want, "- ") != ""; v.HasSuccessor(clock) != has {
				t.Errorf("there is a successor: %t, want %t", !has, has)
			}
		})
	}
}

func TestGivenUp(t *testing.T) {
	v := build(t, "", "b 1s", "m, m state=opening, m state=moving, m state=dormant, b given, b, free 1s by=m")
	for n, want := range []bool{false, false, true, true, true, true, true} {
		if v.GivenUp(n) != want {
			t.Errorf("%s is given up: %t, want %t", describe(v.parts[n]), !want, want)
		}
	}
}

// A host that was met lately cannot have spoken yet.
func TestNewHost(t *testing.T) {
	v := build(t, "", "", "m")
	v.Meet(clock, peer("b"))
	for _, look := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {6*time.Second - 1, true}, {6 * time.Second, false}} {
		if got := v.Hosts(clock + look.after)[0]; got.New != look.want || got.Alive {
			t.Errorf("after %v: %+v, want New: %t", look.after, got, look.want)
		}
	}
	v.Heartbeat(clock+1, 0, from())
	if got := v.Hosts(clock + 1)[0]; got.New || !got.Alive {
		t.Errorf("once it has spoken: %+v", got)
	}
}

// The time after which a hub hibernates begins with the session.
func TestIdleBeginsWithTheSession(t *testing.T) {
	v := build(t, "", "", "m")
	a := Activity{Served: []Idleness{{Serving: true}}}
	v.Tick(clock, wall, a)
	v.Join(clock+quit, peer("m"), lease)
	if v.Tick(clock+quit, wall, a); v.idle {
		t.Error("it is idle as soon as it has joined")
	}
}
