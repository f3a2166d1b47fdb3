package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// parent calls one child with an explicit or derived id and returns what became of it.
func parent(id, child string, tags ...string) orchestrator {
	return func(f *flow) (string, *history.TaskFailureDetails) {
		out, fail := f.await(f.child(child, id, f.input, tags...))
		if fail != nil {
			return "child failed: " + fail.ErrorType + ": " + fail.ErrorMessage, nil
		}
		return "child: " + out, nil
	}
}

// here and there run a scenario with the child in its parent's partition and in another.
func hereAndThere(t *testing.T, scenario func(r *rig, childID string)) {
	t.Run("here", func(t *testing.T) { everyMode(t, 1, func(r *rig) { scenario(r, "p0.child") }) })
	t.Run("there", func(t *testing.T) { everyMode(t, 2, func(r *rig) { scenario(r, "p1.child") }) })
}

func TestChildCompletes(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"], r.flows["Child"] = parent(id, "Child"), chain
		_ = r.start("p0.a", "Parent", "7", func(s *core.Start) { s.Tags = map[string]string{"team": "x", "stage": "one"} })
		r.wants("p0.a", history.Completed, "child: 0 1 2")
		r.wants(id, history.Completed, "0 1 2")
		row := r.row(id)
		if row.Parent.Instance != "p0.a" || row.Parent.Name != "Parent" || row.Parent.Task != 0 || row.GetInput() != "7" || row.Tags["team"] != "x" {
			r.Errorf("child %v", row)
		}
		p := r.events(id)[1].GetExecutionStarted().ParentInstance
		if p.OrchestrationInstance.InstanceId != "p0.a" || p.OrchestrationInstance.ExecutionId.GetValue() != core.ExecutionID("test", "p0.a") || p.TaskScheduledId != 0 {
			r.Errorf("parent of the child: %v", p)
		}
	})
}

func TestHistoryOfAChildCall(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Parent"], r.flows["Child"] = parent("", "Child"), chain
	_ = r.start("a", "Parent", "7")
	want := []string{
		"OrchestratorStarted", "ExecutionStarted", "SubOrchestrationInstanceCreated#0 Child", "OrchestratorCompleted",
		"OrchestratorStarted", "SubOrchestrationInstanceCompleted(0)", "ExecutionCompleted#1 Completed",
	}
	if got := sigs(r.events("a")); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if created := r.events("a")[2].GetSubOrchestrationInstanceCreated(); created.InstanceId != "a:0" || created.Input.GetValue() != "7" {
		t.Errorf("created %v", created)
	}
}

// A child of the same partition needs no commit of its own: parent's step and child's
// first one are one record (E§C4).
func TestStartOfAChildHereIsOneCommit(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Parent"] = parent("", "Child")
	r.flows["Child"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.must(f.call("Hold", "1")), nil }
	r.post("a", starting("a", "Parent", "7"))
	n := r.nodes[0]
	for n.take() || n.work() {
		r.now++
	}
	s, err := n.core.Seal()
	if err != nil || len(s.Effects.Work.Items) != 1 || s.Effects.Work.Items[0].Instance != "a:0" {
		t.Errorf("effects %+v, %v", s.Effects, err)
	}
}

func TestChildFails(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"] = parent(id, "Child")
		r.flows["Child"] = func(*flow) (string, *history.TaskFailureDetails) {
			return "", &history.TaskFailureDetails{ErrorType: "Oops", ErrorMessage: "no luck"}
		}
		_ = r.start("p0.a", "Parent", "7")
		r.wants("p0.a", history.Completed, "child failed: Oops: no luck")
		r.wants(id, history.Failed, "Oops: no luck")
	})
}

// A termination looks like a failure to the parent, with the reason as its message.
func TestChildIsTerminated(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"] = parent(id, "Child")
		r.flows["Child"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.event("never"), nil }
		_ = r.start("p0.a", "Parent", "7")
		_ = r.terminate(id, `a "good" reason`, false)
		r.wants("p0.a", history.Completed, "child failed: "+core.ErrorTypeTerminated+`: a "good" reason`)
		r.wants(id, history.Terminated, `"a \"good\" reason"`)
	})
}

// The parent hears of the last execution only (F§1.5 C8).
func TestChildContinuesAsNew(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"] = parent(id, "Child")
		r.flows["Child"] = func(f *flow) (string, *history.TaskFailureDetails) {
			if f.input != "777" {
				f.continueAsNew(f.input+"7", true)
			}
			return f.input, nil
		}
		_ = r.start("p0.a", "Parent", "7")
		r.wants("p0.a", history.Completed, "child: 777")
		if p := r.row(id).Parent; p.GetInstance() != "p0.a" {
			r.Errorf("parent %v", p)
		}
	})
}

// F§14 D4: the id of a live instance fails the call, and the instance is not touched.
func TestChildWithTheIDOfALiveInstance(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"] = parent(id, "Child")
		r.flows["Other"] = func(f *flow) (string, *history.TaskFailureDetails) { return "other " + f.event("e"), nil }
		_ = r.start(id, "Other", "null")
		_ = r.start("p0.a", "Parent", "7")
		row := r.row("p0.a")
		if row.Status != history.Completed || !strings.HasPrefix(row.GetOutput(), "child failed: "+core.ErrorTypeInstanceExists) ||
			!strings.Contains(row.GetOutput(), id) {
			r.Errorf("%s %s", history.StatusName(row.Status), row.GetOutput())
		}
		_ = r.raise(id, "e", "lives")
		r.wants(id, history.Completed, "other lives")
		// A finished one is replaced.
		r.flows["Child"] = chain
		_ = r.start("p0.b", "Parent", "7")
		r.wants("p0.b", history.Completed, "child: 0 1 2")
	})
}

func TestChildIDsThatAreNotAllowed(t *testing.T) {
	everyMode(t, 2, func(r *rig) {
		r.flows["Child"] = chain
		for n, id := range []string{"@entity", "a/b", "P0.P2", strings.Repeat("x", 257)} {
			name := fmt.Sprint("p0.p", n)
			r.flows[name] = parent(id, "Child")
			_ = r.start(name, name, "7")
			if out := r.row(name).GetOutput(); !strings.HasPrefix(out, "child failed: ArgumentError") {
				r.Errorf("%.20q: %s", id, out)
			}
		}
		// The caller's own parent (F§1.5 C3), though that one ended and is free.
		r.flows["Starter"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.child("Back", "p0.back", "1", "FireAndForget")
			return "gone", nil
		}
		r.flows["Back"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.event("go")
			return parent("p0.STARTER", "Child")(f)
		}
		_ = r.start("p0.starter", "Starter", "null")
		_ = r.raise("p0.back", "go", "1")
		if out := r.row("p0.back").GetOutput(); !strings.HasPrefix(out, "child failed: ArgumentError") {
			r.Errorf("its parent's id: %s", out)
		}
		r.wants("p0.starter", history.Completed, "gone")
	})
}

func TestFireAndForget(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Starter"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.child("Loose", id, "1", "FireAndForget")
			return "gone", nil
		}
		r.flows["Loose"] = func(f *flow) (string, *history.TaskFailureDetails) {
			return f.event("e"), &history.TaskFailureDetails{ErrorType: "Oops"}
		}
		_ = r.start("p0.a", "Starter", "null", func(s *core.Start) { s.Tags = map[string]string{"k": "v"} })
		r.wants("p0.a", history.Completed, "gone")
		_ = r.raise(id, "e", "1")
		r.wants(id, history.Failed, "Oops: ")
		row := r.row(id)
		if row.Parent.GetInstance() != "p0.a" || row.Tags["k"] != "v" {
			r.Errorf("parent %v, tags %v", row.Parent, row.Tags)
		}
		if n := len(r.events("p0.a")); n != 4 {
			r.Errorf("its starter heard of it: %v", sigs(r.events("p0.a")))
		}
	})
}

// The marker alone is never inherited (F§1.5 C9).
func TestTheMarkOfADetachedChildIsNotInherited(t *testing.T) {
	everyMode(t, 1, func(r *rig) {
		r.flows["Starter"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.child("Loose", "loose", "1", "FireAndForget", "mine=1")
			return "gone", nil
		}
		r.flows["Loose"], r.flows["Child"] = parent("kid", "Child", "mine=2", "own=3"), chain
		_ = r.start("a", "Starter", "null")
		r.wants("loose", history.Completed, "child: 0 1 2")
		tags := r.row("kid").Tags
		if _, marked := tags["FireAndForget"]; marked || tags["mine"] != "2" || tags["own"] != "3" || len(tags) != 2 {
			r.Errorf("tags of the grandchild: %v", tags)
		}
	})
}

// F§14 D1.
func TestDerivedIDs(t *testing.T) {
	everyMode(t, 4, func(r *rig) {
		long := "p1." + strings.Repeat("long-", 30)
		r.flows["Child"] = chain
		r.flows["Parent"] = func(f *flow) (string, *history.TaskFailureDetails) {
			out := f.must(f.child("Child", "", "1")) + f.must(f.child("Child", "", "2"))
			if f.input == "first" {
				f.continueAsNew("second", true)
			}
			return out, nil
		}
		for _, id := range []string{"p0.a", "p3.b", long} {
			if err := r.start(id, "Parent", "first"); err != nil {
				r.Fatal(err)
			}
			r.wants(id, history.Completed, "0 1 20 1 2")
		}
		// Four children each, all in their parent's partition, none of them twice.
		for _, id := range []string{"p0.a", "p3.b", long} {
			n, children := r.of(id), 0
			err := core.Each(n.db, 0, func(v *core.View) (bool, error) {
				if v.Row.Parent.GetInstance() == id {
					children++
					if len(v.Row.Id) > 106 || id == long && strings.HasPrefix(v.Row.Id, "p1") || id != long && !strings.HasPrefix(v.Row.Id, id+":") {
						r.Errorf("child id %q of %q", v.Row.Id, id)
					}
				}
				return true, nil
			})
			if err != nil || children != 4 {
				r.Errorf("%q has %d children beside it, %v", id, children, err)
			}
		}
	})
}

func TestDerivedIDsAreReadable(t *testing.T) {
	r := newRig(t, modes[0], 1)
	r.flows["Child"] = chain
	r.flows["Parent"] = func(f *flow) (string, *history.TaskFailureDetails) {
		f.must(f.call("Echo", "1"))
		f.must(f.child("Child", "", "1"))
		if f.input == "first" {
			f.continueAsNew("second", true)
		}
		return "", nil
	}
	_ = r.start("order", "Parent", "first")
	for _, id := range []string{"order:1", "order:1.1"} {
		r.wants(id, history.Completed, "0 1 2")
	}
}

// A wide fan-out spreads over the partitions (E§C6).
func TestManyChildrenSpread(t *testing.T) {
	everyMode(t, 4, func(r *rig) {
		r.flows["Child"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.input, nil }
		r.flows["Wide"] = func(f *flow) (string, *history.TaskFailureDetails) {
			var tasks []int32
			for n := range 40 {
				tasks = append(tasks, f.child("Child", "", fmt.Sprint(n)))
			}
			sum := 0
			for _, task := range tasks {
				var n int
				_, _ = fmt.Sscan(f.must(task), &n)
				sum += n
			}
			return fmt.Sprint(sum), nil
		}
		_ = r.start("p2.wide", "Wide", "null")
		r.wants("p2.wide", history.Completed, "780")
		for _, n := range r.nodes {
			count := 0
			if err := core.Each(n.db, 0, func(*core.View) (bool, error) { count++; return true, nil }); err != nil || count == 0 {
				r.Errorf("partition %d has none of 40 children, %v", n.index, err)
			}
		}
	})
}

func TestTerminateReachesChildrenOnRequest(t *testing.T) {
	for _, recurse := range []bool{true, false} {
		t.Run(fmt.Sprint(recurse), func(t *testing.T) {
			hereAndThere(t, func(r *rig, id string) {
				r.flows["Parent"] = parent(id, "Middle")
				r.flows["Middle"] = func(f *flow) (string, *history.TaskFailureDetails) {
					f.child("Leaf", "p0.loose", "1", "FireAndForget")
					return f.must(f.child("Leaf", "p0.leaf", "1")), nil
				}
				r.flows["Leaf"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.event("e"), nil }
				_ = r.start("p0.a", "Parent", "7")
				r.wants("p0.leaf", history.Running, "")
				_ = r.terminate("p0.a", "enough", recurse)
				r.wants("p0.a", history.Terminated, `"enough"`)
				if recurse {
					r.wants(id, history.Terminated, `"enough"`)
					r.wants("p0.leaf", history.Terminated, `"enough"`)
				} else {
					r.wants(id, history.Running, "")
					_ = r.raise("p0.leaf", "e", "1")
					r.wants(id, history.Completed, "1")
				}
				r.wants("p0.loose", history.Running, "") // nobody's child any more
				r.wants("p0.a", history.Terminated, `"enough"`)
			})
		})
	}
}

// The result of a child belongs to the execution that called it.
func TestLateResultOfAChildIsDropped(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Parent"] = func(f *flow) (string, *history.TaskFailureDetails) {
			if f.input == "first" {
				f.child("Child", id, "1")
				f.event("go")
				f.continueAsNew("second", true)
			}
			return f.must(f.call("Hold", "1")), nil // task 0, as the child was
		}
		r.flows["Child"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.event("e"), nil }
		_ = r.start("p0.a", "Parent", "first")
		_ = r.raise("p0.a", "go", "1")
		_ = r.raise(id, "e", "late")
		r.wants(id, history.Completed, "late")
		r.wants("p0.a", history.Running, "")
		r.finish("Hold", func(*work.Item) *work.Result {
			out := "mine"
			return returns(&out)
		})
		r.wants("p0.a", history.Completed, "mine")
	})
}

func TestOrchestratorTerminatesAnother(t *testing.T) {
	hereAndThere(t, func(r *rig, id string) {
		r.flows["Killer"] = func(f *flow) (string, *history.TaskFailureDetails) {
			f.actions = append(f.actions, &history.OrchestratorAction{Id: 99, OrchestratorActionType: &history.OrchestratorAction_TerminateOrchestration{
				TerminateOrchestration: &history.TerminateOrchestrationAction{InstanceId: f.input},
			}})
			return "done", nil
		}
		r.flows["Victim"] = func(f *flow) (string, *history.TaskFailureDetails) { return f.event("e"), nil }
		_ = r.start(id, "Victim", "null")
		_ = r.start("p0.k", "Killer", id)
		_ = r.start("p0.l", "Killer", "nobody")
		r.wants(id, history.Terminated, `""`)
		r.wants("p0.k", history.Completed, "done")
		r.wants("p0.l", history.Completed, "done")
	})
}
