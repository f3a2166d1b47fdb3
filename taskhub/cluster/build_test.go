package cluster

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tables write down a view as text. Hosts are single letters, "m" is the one whose view
// it is; their addresses are "m:1" and so on. Now is clock, long after anything has begun.

const (
	clock = time.Hour
	lease = 10 * time.Second // a heartbeat every 2 s, silent after 6 s, stale after 40 s
	quit  = time.Minute      // HibernateAfter
	wall  = int64(1e18)      // the wall clock
)

func peer(session string) Peer { return Peer{session, session + ":1"} }

// build makes the view of host m. me says what it does itself, any of
//
//	idle stopping asking moving alone hibernates "joined 5s" "hosts 5s"
//
// the last two: how long ago that was, or changed; an hour, unless said. hosts and parts have
// an entry for each, separated by commas:
//
//	hosts   "b 1s"       b spoke a second ago; "b never", and with: leaving idle dormant
//	parts   "b"          b owns it; m: it serves it; with: missed=3 given released state=opening epoch=7
//	        "free 1s"    nobody does, for so long; with: assigned released by=b
//	        "unknown"
func build(t testing.TB, me, hosts, parts string) *View {
	t.Helper()
	list := entries(parts)
	v := New(Config{Partitions: len(list), Lease: lease, HibernateAfter: quit})
	v.Join(0, peer("m"), lease)
	v.activity.Served = make([]Idleness, len(list))
	for _, words := range entries(hosts) {
		v.hosts = append(v.hosts, buildHost(t, words))
	}
	for n, words := range list {
		buildPart(t, &v.parts[n], words)
	}
	for words := strings.Fields(me); len(words) > 0; words = words[1:] {
		switch words[0] {
		case "idle":
			v.idle = true
		case "stopping":
			v.activity.Stopping = true
		case "asking":
			v.activity.Asking = true
		case "alone":
			v.cfg.Alone = true
		case "hibernates":
			v.dormant, v.hibernating = true, true
		case "joined":
			v.joined, words = clock-duration(t, words[1]), words[1:]
		case "hosts":
			v.hostsSince, words = clock-duration(t, words[1]), words[1:]
		default:
			t.Fatalf("me: %q", words[0])
		}
	}
	return v
}

func buildHost(t testing.TB, words []string) *host {
	t.Helper()
	h := &host{Peer: peer(words[0]), firstSeen: 1}
	for _, w := range words[1:] {
		switch w {
		case "never":
		case "leaving":
			h.leaving = true
		case "idle":
			h.idle = true
		case "dormant":
			h.idle, h.dormant = true, true
		default:
			h.lastSeen = clock - duration(t, w)
		}
	}
	return h
}

func buildPart(t testing.TB, p *part, words []string) {
	t.Helper()
	p.Epoch = 5
	switch words[0] {
	case "unknown":
		p.State = Opening
	case "free":
		p.State, p.Free = Opening, true
	case "m":
		p.State, p.Owner, p.served = Serving, "m", true
	default:
		p.State, p.Owner, p.Address = Elsewhere, words[0], words[0]+":1"
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "assigned":
			p.assigned = true
		case "released":
			p.Released = true
		case "given":
			p.given = true
		case "missed":
			p.missed = number(t, value)
		case "epoch":
			p.Epoch = uint64(number(t, value))
		case "state":
			p.State = State(value)
			p.served = p.served && (p.State == Serving || p.State == Moving)
		case "by":
			p.Owner = value
		default:
			p.freeSince = clock - duration(t, w)
		}
	}
}

// describe writes down what build understands, of one partition.
func describe(p part) string {
	words := []string{p.Owner}
	switch {
	case p.Free && p.Owner != "":
		words = []string{"free", "by=" + p.Owner}
	case p.Free:
		words = []string{"free"}
	case p.Owner == "":
		words = []string{"unknown"}
	}
	for _, flag := range []struct {
		set  bool
		word string
	}{
		{p.assigned, "assigned"}, {p.Released, "released"}, {p.given, "given"}, {p.served && p.Owner != "m", "served"},
		{p.missed != 0 && !p.Free, fmt.Sprintf("missed=%d", p.missed)}, {p.Epoch != 5, fmt.Sprintf("epoch=%d", p.Epoch)},
		{p.State != p.usual(), "state=" + string(p.State)},
	} {
		if flag.set {
			words = append(words, flag.word)
		}
	}
	return strings.Join(words, " ")
}

// usual is the state that goes without saying.
func (p *part) usual() State {
	switch {
	case p.Free || p.Owner == "":
		return Opening
	case p.Owner == "m":
		return Serving
	}
	return Elsewhere
}

// describeAll is describe of all partitions of a view.
func describeAll(v *View) string {
	list := make([]string, len(v.parts))
	for n, p := range v.parts {
		list[n] = describe(p)
	}
	return strings.Join(list, ", ")
}

// describePlan writes down what a plan says to do, without Next.
func describePlan(p Plan) string {
	var list []string
	if p.Hibernate {
		list = append(list, "hibernate")
	}
	if len(p.Observe) > 0 {
		list = append(list, "observe "+strings.Join(p.Observe, " "))
	}
	for _, l := range []struct {
		verb  string
		parts []int
	}{{"recheck", p.Recheck}, {"claim", p.Claim}} {
		if len(l.parts) > 0 {
			list = append(list, l.verb+" "+strings.Trim(fmt.Sprint(l.parts), "[]"))
		}
	}
	if p.Ask != (Peer{}) {
		list = append(list, fmt.Sprintf("ask %s with %d", p.Ask.Session, p.Owned))
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func entries(text string) (list [][]string) {
	for entry := range strings.SplitSeq(text, ",") {
		if words := strings.Fields(entry); len(words) > 0 {
			list = append(list, words)
		}
	}
	return list
}

func duration(t testing.TB, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
