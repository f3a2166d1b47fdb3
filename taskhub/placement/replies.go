package placement

import (
	"cmp"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// reply is what is said to one owner.
type reply struct {
	address string
	results *transport.Results
}

// replies makes the messages to the owners of those items that are finished and have one.
func (w *worker) replies(list []*foreign) (out []reply) {
	for _, f := range list {
		if f.orphan || f.gone || !f.finished() {
			continue
		}
		n := slices.IndexFunc(out, func(a reply) bool { return a.address == f.owner })
		if n < 0 {
			n = len(out)
			out = append(out, reply{f.owner, &transport.Results{}})
		}
		m := out[n].results
		m.Results = append(m.Results, toResult(f.token, f.result))
	}
	return out
}

// poll answers an owner that asks for items: which of them this host does not know. The
// results of those that are finished are sent again.
func (w *worker) poll(m *transport.Poll) *transport.Response {
	answer := &transport.Response{}
	var again []*foreign
	w.mu.Lock()
	w.trim()
	for _, x := range m.Tokens {
		t := fromToken(x)
		if f := w.items[t]; f != nil {
			again = append(again, f)
			continue
		}
		delete(w.finished, t) // the owner does not think so
		answer.Unknown = append(answer.Unknown, x)
	}
	out := w.replies(again)
	w.mu.Unlock()
	w.p.sendResults(out)
	return answer
}

// tasks lists the calls of partition n that former owners of it have left on this host:
// those that run and those whose result nobody has taken. A host that is leaving tells only
// the latter.
func (w *worker) tasks(n int, epoch uint64) []work.Task {
	leaving := w.p.cfg.Hosts.Leaving()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trim()
	w.fenced(n, epoch) // from now on the former owner is
	var list []work.Task
	for task, f := range w.byTask {
		if f.token.Partition == n && f.token.Epoch < epoch && !f.unwanted && (!leaving || f.finished()) {
			list = append(list, task)
		}
	}
	slices.SortFunc(list, func(a, b work.Task) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), strings.Compare(a.Execution, b.Execution), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// abandon tells the owners of everything that still runs that this host will not finish
// it.
func (w *worker) abandon() {
	w.mu.Lock()
	var list []*foreign
	for _, f := range w.running {
		if !f.orphan && !f.unwanted {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *foreign) int { return compareTokens(a.token, b.token) })
	for _, f := range list {
		delete(w.running, f.exec)
		f.result = &work.Result{Kind: f.kind, Token: f.exec, Outcome: work.Abandoned}
	}
	out := w.replies(list)
	w.mu.Unlock()
	w.p.sendResults(out)
}

func compareTokens(a, b work.Token) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Serial, b.Serial))
}
