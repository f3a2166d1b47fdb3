package core

import (
	"fmt"
	"slices"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
	"github.com/durafunc/durafunc/taskhub/work"
)

// startTask is the task number under which a scheduled start waits.
const startTask = -1

// openTask is something that an instance asked for and that has not ended.
type openTask struct {
	row       *OpenTask
	persisted bool
	changed   bool      // row differs from what the state has
	activity  *activity // the call that is out, if it is one
}

// activity is a call that is out with an app.
type activity struct {
	inst    *instance
	task    int32
	token   work.Token
	attempt int
	deaths  int
}

func decodeTask(i *instance, task int32, value []byte) (*openTask, error) {
	t := &openTask{persisted: true, row: &OpenTask{}}
	if err := t.row.UnmarshalVT(value); err != nil {
		return nil, err
	}
	if t.row.Kind == nil {
		return nil, fmt.Errorf("instance %q: task %d has no kind", i.row.Id, task)
	}
	return t, nil
}

// openTasks lists the open tasks in the order of their numbers.
func (i *instance) openTasks() []int32 {
	tasks := make([]int32, 0, len(i.open))
	for t := range i.open {
		tasks = append(tasks, t)
	}
	slices.Sort(tasks)
	return tasks
}

// addTask opens a task.
func (c *Core) addTask(i *instance, task int32, row *OpenTask) *openTask {
	t := &openTask{row: row}
	i.open[task] = t
	i.newTasks = append(i.newTasks, task)
	c.touch(i)
	return t
}

// closeTask forgets a task that has ended or is no longer wanted.
func (c *Core) closeTask(i *instance, task int32) {
	t := i.open[task]
	if t == nil {
		return
	}
	delete(i.open, task)
	if t.persisted {
		c.batch.Delete(taskKey(i.num, task))
	}
	if t.activity != nil {
		delete(c.activities, t.activity.token.Serial)
		i.activities--
	}
	if timer := t.row.GetTimer(); timer != nil {
		c.timers.drop(timerEntry{due: timer.Due, num: i.num, task: task})
	}
	c.touch(i)
}

// closeTasks ends everything that an execution left open: timers are dropped,
// results that still come are late, the contexts of running activities are
// cancelled (F§14 D2 and 1.15).
func (c *Core) closeTasks(i *instance) {
	for _, task := range i.openTasks() {
		if a := i.open[task].activity; a != nil {
			c.effects.Work.Cancels = append(c.effects.Work.Cancels, a.token)
		}
		c.closeTask(i, task)
	}
}

// dispatch hands an open activity out, after the commit.
func (c *Core) dispatch(i *instance, task int32, t *openTask, attempt, deaths int) {
	a := &activity{inst: i, task: task, token: c.token(), attempt: attempt, deaths: deaths}
	if t.activity != nil {
		delete(c.activities, t.activity.token.Serial)
	} else {
		i.activities++
	}
	t.activity = a
	c.activities[a.token.Serial] = a
	row := t.row.GetActivity()
	if attempt > 1 {
		row.Attempt, row.Deaths, t.changed = uint32(attempt), uint32(deaths), true
		i.newTasks = append(i.newTasks, task)
		c.mark(i)
	}
	c.effects.Work.Items = append(c.effects.Work.Items, work.NewActivity(work.Item{
		Token: a.token, Task: work.Task{Instance: i.row.Id, Execution: i.row.Execution, ID: task},
		Name: row.Name, Version: row.Version, Attempt: attempt,
	}, work.Activity{Input: row.Input}))
}

// loadTasks finds the timers and the unfinished activities after a recovery. Loading
// an instance dispatches its activities again (adoptTasks).
func (c *Core) loadTasks(int64) error {
	for e, err := range c.state.Scan([]byte{keyTask}, []byte{keyTask + 1}) {
		if err != nil {
			return err
		}
		num, task := taskOfKey(e.Key)
		var row OpenTask
		if err := row.UnmarshalVT(e.Value); err != nil {
			return fmt.Errorf("partition %d: task %d of instance %d: %w", c.cfg.Partition, task, num, err)
		}
		switch k := row.Kind.(type) {
		case *OpenTask_Timer:
			c.timers.add(timerEntry{due: k.Timer.Due, num: num, task: task})
		case *OpenTask_Activity:
			c.byNum(num)
		}
	}
	return c.err
}

// adoptTasks dispatches the open activities of an instance that was just loaded. An
// instance with activities out never leaves memory, so this is after a recovery:
// whoever ran them answers to an older epoch.
func (c *Core) adoptTasks(i *instance) {
	for _, task := range i.openTasks() {
		if t := i.open[task]; t.row.GetActivity() != nil {
			row := t.row.GetActivity()
			c.dispatch(i, task, t, max(1, int(row.Attempt))+1, int(row.Deaths))
		}
	}
}

// activityDone takes the result of an activity.
func (c *Core) activityDone(now int64, done *work.Result) (wanted bool) {
	a := c.activities[done.Token.Serial]
	if a == nil || done.Token != a.token && !planted.Is(planted.StaleAttempt) || c.err != nil {
		return false
	}
	i, t, r := a.inst, a.inst.open[a.task], done.Activity
	if done.Outcome != work.Completed {
		c.abandoned(now, i, t, a, done.Outcome == work.Died)
		return true
	}
	e := newEvent(noTask, now)
	if r.Failure != nil {
		e.EventType = &history.HistoryEvent_TaskFailed{TaskFailed: &history.TaskFailedEvent{
			TaskScheduledId: a.task, FailureDetails: r.Failure,
		}}
	} else {
		c.retain(i, r.Result)
		e.EventType = &history.HistoryEvent_TaskCompleted{TaskCompleted: &history.TaskCompletedEvent{
			TaskScheduledId: a.task, Result: history.WrapText(r.Result),
		}}
	}
	c.closeTask(i, a.task)
	c.push(i, e)
	return true
}

// abandoned hands an activity out again, or fails it when the app dies under it
// again and again (F§14 A7).
func (c *Core) abandoned(now int64, i *instance, t *openTask, a *activity, died bool) {
	deaths := a.deaths
	if died {
		deaths++
	}
	if deaths >= c.cfg.MaxDeaths {
		name := t.row.GetActivity().Name
		c.activityDone(now, work.ActivityDone(a.token, work.ActivityResult{Failure: failure(ErrorTypeQuarantined,
			"activity %q: the function app died %d times while it ran this call", name, deaths)}))
		return
	}
	c.dispatch(i, a.task, t, a.attempt+1, deaths)
}
