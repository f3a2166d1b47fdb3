package core_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// fate is what happens to a partition around one commit.
type fate int

const (
	lives       fate = iota
	dies             // after the commit, when its effects have left
	losesEffect      // after the commit, before anything left
	losesBatch       // before the commit
)

// mode is one way to disturb a scenario. Whatever it is, the outcome is the same.
type mode struct {
	name      string
	fate      func(seal int) fate
	maxCached int
	inFlight  bool // the next steps run before the commit's answer
	forgetful bool // the app parks nothing for long
	outbox    int  // how many messages an outbox takes
}

var modes = []mode{
	{name: "undisturbed"},
	{name: "a crash after each commit", fate: func(int) fate { return dies }},
	{name: "a crash after each commit, before its effects", fate: func(int) fate { return losesEffect }},
	{name: "a crash before every second commit", fate: func(n int) fate { return fate(n%2) * losesBatch }},
	{name: "crashes of all kinds", fate: func(n int) fate { return fate(n % 4) }},
	{name: "a small cache", maxCached: 1},
	{name: "commits in flight", inFlight: true},
	{name: "a forgetful app", forgetful: true},
	{name: "a small cache and crashes", maxCached: 1, forgetful: true, fate: func(n int) fate { return fate(n*7%5) % 4 }},
	{name: "small outboxes", outbox: 1},
	{name: "small outboxes, a small cache and crashes", outbox: 1, maxCached: 1, fate: func(n int) fate { return fate(n*7%5) % 4 }},
}

// rig runs the cores of some partitions as their hosts would, with apps, a bucket, a
// postman and clients, in one goroutine.
type rig struct {
	*testing.T
	mode   mode
	change func(*core.Config)
	now    int64
	seals  int
	nodes  []*node
	mail   []func()
	flows  map[string]orchestrator
	calls  map[string]func(a *work.Item) *work.Result // nil: it goes on
	broken map[string]bool                            // orchestrators whose code does not fit
	deadly map[string]bool                            // orchestrators that kill their app
	known  map[string]*work.Result                    // what finish answered, should it be asked again
}

// node is one partition.
type node struct {
	r          *rig
	index      int
	epoch      uint64
	core       *core.Core
	db         checkpoint.DB
	episodes   []*work.Item
	activities []*work.Item
	running    []*work.Item // handed to a function that has not returned
	parked     map[string]parking
	asks       []*ask
	cancelled  []work.Token
	evicted    []string
	answered   int  // episodes
	deaf       bool // it receives no messages, and no receipts
	patient    bool // its clients do not ask again when it is busy
}

// ask is a request of a client.
type ask struct {
	do   func(c *core.Core, now int64, reply func(error))
	done bool
	lost bool // committed, but nobody was told
	busy bool // refused: to be asked again
	err  error
}

func newRig(t *testing.T, m mode, partitions int) *rig {
	r := &rig{
		T: t, mode: m, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC).UnixNano(),
		flows: map[string]orchestrator{}, calls: map[string]func(*work.Item) *work.Result{},
		broken: map[string]bool{}, deadly: map[string]bool{}, known: map[string]*work.Result{},
	}
	r.calls["Echo"] = func(a *work.Item) *work.Result { return returns(a.Activity.Input) }
	r.calls["Hold"] = func(*work.Item) *work.Result { return nil }
	for n := range partitions {
		b, err := checkpoint.Memory{}.Begin("")
		if err != nil {
			t.Fatal(err)
		}
		db, err := b.Open()
		if err != nil {
			t.Fatal(err)
		}
		r.nodes = append(r.nodes, &node{r: r, index: n, db: db, parked: map[string]parking{}})
	}
	return r
}

// place: "p1.name" is of partition 1, other ids fall where their hash does.
func (r *rig) place(id string) int {
	if len(id) > 3 && id[0] == 'p' && id[2] == '.' && !strings.Contains(id, ":") {
		return int(id[1]-'0') % len(r.nodes)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % uint32(len(r.nodes)))
}

func (r *rig) of(id string) *node { return r.nodes[r.place(id)] }

// boot starts a partition from what is durable, under the next epoch.
func (n *node) boot() {
	n.epoch++
	cfg := core.Config{
		Partition: n.index, Partitions: len(n.r.nodes), Epoch: n.epoch, Place: n.r.place, MaxCached: n.r.mode.maxCached,
		MaxOutboxMessages: n.r.mode.outbox,
	}
	if n.r.change != nil {
		n.r.change(&cfg)
	}
	n.core = core.New(cfg, n.db)
	if err := n.core.Load(n.r.now); err != nil {
		n.r.Fatalf("load: %v", err)
	}
	// What apps still run answers to the epoch before, and is late.
}

func (r *rig) boot() {
	for _, n := range r.nodes {
		if n.core == nil {
			n.boot()
		}
	}
}

// ask sends a request and runs until everything is at rest.
func (r *rig) ask(id string, do func(c *core.Core, now int64, reply func(error))) error {
	r.Helper()
	a := r.post(id, do)
	r.run()
	if !a.done {
		r.Fatalf("a request to %q was not answered", id)
	}
	return a.err
}

// post sends a request and does not wait.
func (r *rig) post(id string, do func(c *core.Core, now int64, reply func(error))) *ask {
	r.boot()
	a := &ask{do: do}
	n := r.of(id)
	n.asks = append(n.asks, a)
	n.issue(a)
	return a
}

func (n *node) issue(a *ask) {
	a.busy = false
	a.do(n.core, n.r.now, func(err error) {
		if a.done {
			n.r.Error("a request was answered twice")
		}
		if a.busy = errors.Is(err, core.ErrBusy) && !n.patient; a.busy {
			return
		}
		a.done, a.err = true, err
	})
}

func (n *node) unanswered() []*ask {
	n.asks = slices.DeleteFunc(n.asks, func(a *ask) bool { return a.done })
	return n.asks
}

// run goes on until nothing moves; time stands still but for a microsecond a step.
func (r *rig) run() {
	r.Helper()
	r.boot()
	for round := 0; ; round++ {
		if round > 20_000 {
			r.Fatal("it never comes to rest")
		}
		busy := r.deliver()
		for _, n := range r.nodes {
			r.now += 1000
			busy = n.step() || busy
		}
		if !busy && !r.resend() {
			return
		}
	}
}

func (r *rig) advance(d time.Duration) {
	r.Helper()
	r.now += int64(d)
	r.run()
}

// step does what waits in one partition, as its loop would.
func (n *node) step() bool {
	if next := n.core.NextTimer(); next != 0 && next <= n.r.now {
		n.core.Tick(n.r.now)
	}
	again := slices.Clone(n.asks)
	for _, a := range again {
		if a.busy {
			n.issue(a)
		}
	}
	busy := n.take()
	busy = n.work() || busy
	busy = n.commit() || busy
	if err := n.core.Err(); err != nil {
		n.r.Fatalf("partition %d: %v", n.index, err)
	}
	return busy
}

func (n *node) take() bool {
	episodes := n.core.TakeEpisodes(n.r.now)
	n.episodes = append(n.episodes, episodes...)
	return len(episodes) > 0
}

// commit makes durable what has gathered and lets its effects go.
func (n *node) commit() bool {
	if !n.core.Waiting() {
		return false
	}
	s, err := n.core.Seal()
	if err != nil {
		n.r.Fatal(err)
	}
	if s.Number == 0 {
		n.release(s.Effects)
		return true
	}
	fate := lives
	if n.r.seals++; n.r.mode.fate != nil {
		fate = n.r.mode.fate(n.r.seals)
	}
	if fate == losesBatch {
		again := n.unanswered()
		n.boot()
		for _, a := range again {
			n.issue(a) // as clients do that got no answer
		}
		return true
	}
	if n.r.mode.inFlight {
		for n.take() || n.work() {
			n.r.now += 1000
		}
	}
	at := n.db.Position()
	at.Seq++
	if err := n.db.Apply(s.Batch, at); err != nil {
		n.r.Fatal(err)
	}
	if fate == losesEffect {
		for _, a := range n.unanswered() {
			a.done, a.lost = true, true
		}
		n.boot()
		return true
	}
	n.core.Applied(s.Number)
	n.release(s.Effects)
	if fate == dies {
		n.boot()
	}
	return true
}

func (n *node) release(e core.Effects) {
	n.activities = append(n.activities, e.Work.Items...)
	n.cancelled = append(n.cancelled, e.Work.Cancels...)
	n.evicted = append(n.evicted, e.Work.Evict...)
	for _, reply := range e.Replies {
		reply()
	}
	for _, s := range e.Sends {
		n.r.send(n.index, s)
	}
	for _, a := range e.Acks {
		n.r.mail = append(n.r.mail, func() {
			if src := n.r.nodes[a.Src]; !src.deaf {
				src.core.Acked(n.index, a.UpTo)
			}
		})
	}
}

func (r *rig) send(src int, s core.Send) {
	r.mail = append(r.mail, func() {
		if r.nodes[s.Dst].deaf {
			return
		}
		var messages []*core.Message
		for _, b := range s.Messages {
			m := &core.Message{}
			if err := m.UnmarshalVT(b); err != nil {
				r.Fatal(err)
			}
			messages = append(messages, m)
		}
		if err := r.nodes[s.Dst].core.Messages(r.now, src, s.First, messages); err != nil && !errors.Is(err, core.ErrGap) {
			r.Fatal(err)
		}
	})
}

func (r *rig) deliver() bool {
	mail := r.mail
	r.mail = nil
	for _, deliver := range mail {
		deliver()
	}
	return len(mail) > 0
}

// resend repeats what was not acknowledged, as partitions do after a while.
func (r *rig) resend() (any bool) {
	for _, n := range r.nodes {
		for dst := range r.nodes {
			for _, s := range n.core.Unacked(dst) {
				r.send(n.index, s)
				to := r.nodes[dst]
				news := to.core.Received(n.index) < s.First+uint64(len(s.Messages))-1
				any = any || !to.deaf && (news || !n.deaf)
			}
		}
	}
	return any
}

// work lets the apps answer what they were handed.
func (n *node) work() bool {
	episodes, activities := n.episodes, n.activities
	n.episodes, n.activities = nil, nil
	for _, e := range episodes {
		n.core.Done(n.r.now, n.episode(e))
	}
	for _, a := range activities {
		call := n.r.calls[a.Name]
		if call == nil {
			n.r.Fatalf("no activity %q", a.Name)
		}
		if res := call(a); res != nil {
			n.result(a, res)
		} else if res := n.r.known[callOf(a)]; res != nil {
			n.result(a, res)
		} else {
			n.running = append(n.running, a)
		}
	}
	return len(episodes)+len(activities) > 0
}

// parking is what an app holds: the history of an orchestrator up to the end of an episode,
// which may never have been committed.
type parking struct {
	after  work.Token
	events []*history.HistoryEvent
}

// episode runs an orchestrator, parked if the app still has it after that episode.
func (n *node) episode(it *work.Item) *work.Result {
	e := it.Episode
	n.answered++
	var res work.EpisodeResult
	held := n.parked[it.Execution]
	past, fits := held.events, held.after == e.After
	if e.HasHistory {
		full := decode(n.r.T, e.Past...)
		if uint64(len(full)) != e.Position {
			n.r.Errorf("%q: history of %d events at position %d", it.Instance, len(full), e.Position)
		}
		if fits && e.Position > 0 && !slices.Equal(sigs(past), sigs(full)) {
			n.r.Errorf("%q: parked with\n%v\nhistory is\n%v", it.Instance, sigs(past), sigs(full))
		}
		past = full
	} else if n.r.mode.forgetful && n.answered%2 == 0 || !fits {
		if !fits && n.r.mode.fate == nil {
			n.r.Errorf("%q: parked after %v, and goes on after %v without its history", it.Instance, held.after, e.After)
		}
		res.HistoryNeeded = true
		return work.EpisodeDone(it.Token, res)
	}
	switch run := n.r.flows[it.Name]; {
	case n.r.deadly[it.Name]:
		return it.Ended(work.Died)
	case run == nil:
		res.Failed = &history.TaskFailureDetails{ErrorType: "OrchestratorTaskNotFound", ErrorMessage: it.Name}
	case n.r.broken[it.Name] && e.Position > 0:
		res.NonDeterminism = &history.TaskFailureDetails{ErrorType: "NonDeterministic", ErrorMessage: "code does not fit"}
	default:
		h := append(slices.Clip(past), decode(n.r.T, e.New)...)
		f := play(h, run)
		res.Actions, res.CustomStatus = f.actions, f.status
		n.parked[it.Execution] = parking{it.Token, append(slices.Clip(h), traces(f.actions)...)}
	}
	return work.EpisodeDone(it.Token, res)
}

func decode(t testing.TB, chunks ...[]byte) []*history.HistoryEvent {
	t.Helper()
	var h history.History
	for _, b := range chunks {
		if err := h.UnmarshalVT(b); err != nil {
			t.Fatal(err)
		}
	}
	return h.Events
}

// finish ends the activities that run, of the given name, as do says.
func (r *rig) finish(name string, do func(a *work.Item) *work.Result) {
	for _, n := range r.nodes {
		running := n.running
		n.running = nil
		for _, a := range running {
			if a.Name != name {
				n.running = append(n.running, a)
				continue
			}
			res := do(a)
			r.known[callOf(a)] = res
			n.result(a, res)
		}
	}
	r.run()
}

func callOf(a *work.Item) string { return fmt.Sprint(a.Execution, " ", a.ID) }

func (n *node) result(a *work.Item, res *work.Result) {
	answer := *res
	answer.Token = a.Token
	n.core.Done(n.r.now, &answer)
}

// returns, fails and ends are results of activities; the rig adds their tokens.
func returns(v *string) *work.Result {
	return work.ActivityDone(work.Token{}, work.ActivityResult{Result: v})
}

func fails(f *history.TaskFailureDetails) *work.Result {
	return work.ActivityDone(work.Token{}, work.ActivityResult{Failure: f})
}

func ends(o work.Outcome) *work.Result {
	return &work.Result{Kind: work.ActivityFunction, Outcome: o}
}

// everyMode plays a scenario undisturbed and in every other mode; clients must see the
// same in the end.
func everyMode(t *testing.T, partitions int, scenario func(r *rig)) {
	var want string
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, m, partitions)
			scenario(r)
			r.run()
			r.audit()
			got := r.outcome()
			if m.name == modes[0].name {
				want = got
			} else if got != want && want != "" {
				t.Errorf("clients see\n%s\nundisturbed it is\n%s", got, want)
			}
		})
	}
}

// outcome is what clients see of all instances.
func (r *rig) outcome() string {
	var lines []string
	for _, n := range r.nodes {
		err := core.Each(n.db, 0, func(v *core.View) (bool, error) {
			row := &v.Row
			input, err := v.Input(n.db)
			if err != nil {
				return false, err
			}
			lines = append(lines, fmt.Sprintf("%s %s %s gen %d in %s out %s status %s failure %q parent %q %v garbage %d", row.Id, row.Name,
				history.StatusName(row.Status), row.Generation, show(input), show(row.Output), show(row.CustomStatus),
				row.Failure.GetErrorMessage(), row.Parent.GetInstance(), row.Tags, len(n.core.Garbage(r.now+1))))
			return true, nil
		})
		if err != nil {
			r.Fatal(err)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func show(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
