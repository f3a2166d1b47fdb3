package cluster

import (
	"slices"
	"testing"
	"time"
)

// listener is the view of host b that is told something by m.
func listener(t *testing.T, parts string) *View {
	t.Helper()
	v := build(t, "", "m 1s", parts)
	v.Join(0, peer("b"), lease)
	return v
}

func TestTell(t *testing.T) {
	v := build(t, "idle", "b 1s, c 9s, d 1s dormant",
		"m, m state=parked, m state=opening, m state=moving, b, b given, free 1s by=m assigned, unknown")
	b, to := v.Tell(clock, true)
	if want := []Owned{owns(0, 5), owns(1, 5), owns(3, 5), handedTo("b", 5, 5)}; !slices.Equal(b.Owned, want) {
		t.Errorf("it owns %+v, want %+v", b.Owned, want)
	}
	if !slices.Equal(b.Known, []Peer{peer("b")}) || !slices.Equal(to, []string{"b:1", "c:1", "d:1"}) {
		t.Errorf("it hears %v and tells %v", b.Known, to)
	}
	if b.Peer != peer("m") || !b.Leaving || !b.Idle || b.Dormant || b.Released != nil {
		t.Errorf("it tells %+v", b)
	}
}

// What a host tells another makes that one believe it.
func TestToldIsBelieved(t *testing.T) {
	v := build(t, "", "b 1s, c 1s", "m, m state=parked, m state=opening, c given, b given, c, free 1s")
	told := listener(t, "unknown, unknown, unknown, m, m, unknown, unknown")
	b, _ := v.Tell(clock, false)
	told.Heartbeat(clock, 0, b)

	for n, want := range []Partition{
		{State: Elsewhere, Owner: "m", Address: "m:1", Epoch: 5},
		{State: Elsewhere, Owner: "m", Address: "m:1", Epoch: 5},
		{State: Elsewhere, Epoch: 5}, // it may not get what it claims, and says nothing yet
		{State: Elsewhere, Owner: "c", Address: "c:1", Epoch: 5},
		{State: Opening, Owner: "m", Epoch: 5, Free: true}, // for b
		{State: Elsewhere, Epoch: 5},                       // c will say so
		{State: Elsewhere, Epoch: 5},
	} {
		if want.Owner == "" {
			want.State = Opening
		}
		if got := told.Partition(n); got != want {
			t.Errorf("partition %d: %+v, want %+v", n, got, want)
		}
	}
	if got := describePlan(told.Plan(clock)); got != "observe c, claim 4" {
		t.Errorf("then the plan is %q", got)
	}
	if !told.hears(clock, "m") || told.hears(clock, "c") || len(told.hosts) != 2 {
		t.Error("it has met c, which has not spoken to it")
	}
	if c := told.Heartbeat(clock, 0, b); describeChanges(c) != "" {
		t.Errorf("told again, it is news: %+v", c)
	}
}

func TestToldDormantIsBelieved(t *testing.T) {
	at := wall + int64(time.Hour)
	v := build(t, "", "b 1s", "m, m, b")
	v.Hibernate()
	v.Released(clock, 0, 6, at)
	v.Released(clock, 1, 6, 0)
	v.Hibernated(true)
	told := listener(t, "m, m, b")
	b, _ := v.TellDormant()
	told.Heartbeat(clock, 0, b)

	for n, wakeAt := range []int64{at - int64(WakeAhead), 0} {
		want := Partition{State: Opening, Owner: "m", Epoch: 6, Free: true, Released: true, WakeAt: wakeAt}
		if got := told.Partition(n); got != want {
			t.Errorf("partition %d: %+v, want %+v", n, got, want)
		}
	}
	if h := told.Hosts(clock)[0]; !h.Dormant || !h.Idle || h.Alive {
		t.Errorf("of the other it believes %+v", h)
	}
	if c := told.Heartbeat(clock, 0, b); describeChanges(c) == "moved" || describeAll(told)[:4] != "free" {
		t.Errorf("told again: %+v, %s", c, describeAll(told))
	}
}
