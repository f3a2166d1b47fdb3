package core

import (
	"fmt"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// maxEpisodeBytes bounds the new events of one episode; the rest follows in the next.
const maxEpisodeBytes = 1 << 20

// TakeEpisodes hands out the episodes that can run now. They may start before their
// cause is committed: nothing that they decide leaves before it is.
//
// It is called after every burst of steps, and so it is also where requests are
// forgotten when no new one comes.
func (c *Core) TakeEpisodes(now int64) []*work.Item {
	c.forget(now)
	c.tryHeld(now)
	if len(c.ready) == 0 || c.err != nil {
		return nil
	}
	out := make([]*work.Item, 0, len(c.ready))
	for _, i := range c.ready {
		i.isReady = false
		if !i.runnable() {
			continue
		}
		if e := c.episode(now, i); e != nil {
			out = append(out, e)
		}
	}
	c.ready = c.ready[:0]
	return out
}

func (c *Core) episode(now int64, i *instance) *work.Item {
	// An instance's time never runs backwards, whatever the owners' clocks do.
	at := max(now, i.row.Now)
	started := newEvent(noTask, at)
	started.EventType = &history.HistoryEvent_OrchestratorStarted{OrchestratorStarted: &history.OrchestratorStartedEvent{}}
	o := &outEpisode{token: c.token(), framed: frame(nil, started), events: 1, now: at}
	for _, e := range i.inbox {
		if o.taken > 0 && len(o.framed)+len(e.framed) > maxEpisodeBytes {
			break
		}
		o.framed = append(o.framed, e.framed...)
		o.events++
		o.taken++
	}
	e := work.Episode{Position: i.row.Position, New: o.framed, HasHistory: i.row.Position == 0}
	if i.row.Position > 0 {
		e.After = work.Token{Partition: c.cfg.Partition, Epoch: i.row.RunEpoch, Serial: i.row.RunSerial}
	}
	if !e.HasHistory && !i.sticky {
		past, err := c.past(i)
		if err != nil {
			c.fail(err)
			return nil
		}
		e.HasHistory, e.Past = true, past
	}
	i.out = o
	c.episodes[o.token.Serial] = i
	return work.NewEpisode(work.Item{
		Token: o.token, Task: work.Task{Instance: i.row.Id, Execution: i.row.Execution}, Name: i.row.Name, Version: i.row.Version,
	}, e)
}

// episodeDone takes the result of an episode.
func (c *Core) episodeDone(now int64, done *work.Result) (wanted bool) {
	i := c.episodes[done.Token.Serial]
	if i == nil || i.out.token != done.Token || c.err != nil {
		return false
	}
	o, r := i.out, done.Episode
	delete(c.episodes, done.Token.Serial)
	i.out = nil
	switch {
	case done.Outcome != work.Completed:
		c.episodeAbandoned(now, i, done.Outcome == work.Died)
		return true
	case r.HistoryNeeded:
		i.sticky = false
		c.wake(i)
		return true
	}
	if dst, full := c.fullFor(c.addressees(i, r)); full {
		c.hold(i, dst)
		return true
	}
	if r.NonDeterminism != nil {
		c.replayDisagrees(now, i, r.NonDeterminism)
		return true
	}

	i.sticky = true
	i.deaths, i.row.Deaths = 0, 0
	i.row.Now = o.now
	i.row.RunEpoch, i.row.RunSerial = done.Token.Epoch, done.Token.Serial
	i.chunk = append(i.chunk, o.framed...)
	c.unwritten += len(o.framed)
	i.row.Position += o.events
	c.consume(i, o.taken)
	i.row.Updated = now
	if i.row.Status == history.Pending {
		i.row.Status = history.Running
	}
	if r.CustomStatus != nil {
		i.row.CustomStatus = r.CustomStatus
		if *r.CustomStatus == "null" {
			i.row.CustomStatus = nil
		}
	}
	c.touch(i)
	if r.Failed != nil {
		c.finish(now, i, noTask, history.Failed, nil, r.Failed)
	} else if !c.actions(o.now, i, r) {
		end := newEvent(noTask, o.now)
		end.EventType = &history.HistoryEvent_OrchestratorCompleted{OrchestratorCompleted: &history.OrchestratorCompletedEvent{}}
		c.append(i, end)
		c.wake(i)
	}
	c.settle(now)
	return true
}

// consume removes the first n events of the inbox: they are history now, or dropped.
func (c *Core) consume(i *instance, n int) {
	for _, e := range i.inbox[:min(n, i.saved)] {
		c.batch.Delete(inboxKey(i.num, e.seq))
	}
	i.saved = max(0, i.saved-n)
	if i.inbox = i.inbox[n:]; len(i.inbox) == 0 {
		i.inbox = nil
	}
}

// episodeAbandoned runs an episode again. When the app dies under it again and again
// the instance is held, and the partition goes on (F§14 A7): resume tries again,
// terminate gives up.
func (c *Core) episodeAbandoned(now int64, i *instance, died bool) {
	i.sticky = false
	if died {
		i.deaths++
	}
	if i.deaths > 1 {
		// Recorded from the second death on, so that it counts across hosts and
		// costs nothing as long as nothing dies.
		i.row.Deaths = uint32(i.deaths)
		c.touch(i)
	}
	if i.deaths >= c.cfg.MaxDeaths {
		c.suspend(now, i, fmt.Sprintf("quarantined: the function app died %d times under orchestrator %q", i.deaths, i.row.Name))
		return
	}
	c.wake(i)
}

// replayDisagrees holds an instance whose code no longer fits its history, so that
// putting the old code back heals it (F§14 O2), or fails it as the reference does.
func (c *Core) replayDisagrees(now int64, i *instance, f *history.TaskFailureDetails) {
	i.sticky = false
	if c.cfg.FailNonDeterminism {
		c.finish(now, i, noTask, history.Failed, nil, f)
		c.settle(now)
		return
	}
	if i.row.Status == history.Suspended {
		return // by somebody who resumes it; then the episode runs again, and disagrees again
	}
	i.row.NonDeterministic = true
	c.nonDeterministic[i.num] = struct{}{}
	c.suspend(now, i, f.ErrorMessage)
}
