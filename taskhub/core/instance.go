package core

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

// bigInput is the size from which an input is kept beside its row.
const bigInput = 512

// instance is the decoded state of one instance and what is under way for it.
type instance struct {
	num uint64
	row InstanceRow

	inbox   []inboxEvent
	saved   int // how many events of the inbox, from its front, the state has or will have
	open    map[int32]*openTask
	waiters []*Waiter

	out     *outEpisode
	sticky  bool // the app is believed to hold it parked
	isReady bool
	held    bool // its number is in Core.held
	deaths  int  // of the app under the present episode
	// activities counts the open tasks that are out with an app.
	activities int

	// What changed since the last Seal.
	isDirty   bool
	isNew     bool // id index not written yet
	deleted   bool
	chunk     []byte // framed history events
	newTasks  []int32
	newInput  *string
	sealedIn  uint64       // number of the last batch that touched it
	unapplied []sealedPart // chunks that the state cannot show yet

	prev, next *instance // least recently used order
}

type sealedPart struct {
	batch uint64
	chunk []byte
}

type inboxEvent struct {
	seq    uint64
	framed []byte
	raised bool // an external event: survives continue-as-new
}

// outEpisode is the episode that the app is running.
type outEpisode struct {
	token  work.Token
	framed []byte // OrchestratorStarted and the consumed events
	events uint64
	taken  int // events of the inbox that it consumes
	now    int64
}

// Waiter waits for an instance to end.
type Waiter struct {
	// Done is called once, after the end is committed; err is ErrNotFound if there
	// is no such instance, or it was purged.
	Done func(err error)
}

// touch notes that the instance has changed and that this needs a commit.
func (c *Core) touch(i *instance) {
	c.mark(i)
	c.needed = true
}

// mark notes that the instance has changed in a way that can wait for a commit that has
// another reason.
func (c *Core) mark(i *instance) {
	if !i.isDirty {
		i.isDirty = true
		c.dirty = append(c.dirty, i)
	}
}

// append adds an event to the history of the present execution.
func (c *Core) append(i *instance, e *history.HistoryEvent) {
	i.chunk = frame(i.chunk, e)
	i.row.Position++
	c.unwritten += e.SizeVT()
	c.touch(i)
}

// push gives an instance an event for its next episode.
func (c *Core) push(i *instance, e *history.HistoryEvent) {
	_, raised := e.EventType.(*history.HistoryEvent_EventRaised)
	framed := frame(nil, e)
	c.unwritten += len(framed)
	i.inbox = append(i.inbox, inboxEvent{seq: i.row.InboxNext, framed: framed, raised: raised})
	i.row.InboxNext++
	c.touch(i)
	c.wake(i)
}

// wake looks at the instance again when episodes are handed out.
func (c *Core) wake(i *instance) {
	if !i.isReady {
		i.isReady = true
		c.ready = append(c.ready, i)
	}
}

// runnable reports whether an episode can be handed out. A scheduled start has begun when its
// timer has fired, whatever the clock says: the owner before may have had one that was ahead.
func (i *instance) runnable() bool {
	return !i.deleted && !i.held && i.out == nil && len(i.inbox) > 0 && !i.terminal() &&
		i.row.Status != history.Suspended && i.open[startTask] == nil
}

// load decodes an instance that is not in memory. It returns nil when there is none.
func (c *Core) load(num uint64) *instance {
	v, err := c.state.Get(numKey(keyInstance, num))
	if err != nil || v == nil {
		c.fail(err)
		return nil
	}
	i := &instance{num: num, open: map[int32]*openTask{}}
	if err := i.row.UnmarshalVT(v); err != nil {
		c.fail(fmt.Errorf("instance %d: %w", num, err))
		return nil
	}
	lo := numKey(keyInbox, num)
	for e, err := range c.state.Scan(lo, numKey(keyInbox, num+1)) {
		if err != nil {
			c.fail(err)
			return nil
		}
		framed := append([]byte(nil), e.Value...)
		var ev history.HistoryEvent
		if err := ev.UnmarshalVT(unframe(framed)); err != nil {
			c.fail(fmt.Errorf("instance %q: inbox: %w", i.row.Id, err))
			return nil
		}
		_, raised := ev.EventType.(*history.HistoryEvent_EventRaised)
		i.inbox = append(i.inbox, inboxEvent{
			seq: binary.BigEndian.Uint64(e.Key[9:]), framed: framed, raised: raised,
		})
	}
	i.saved = len(i.inbox)
	if !i.terminal() {
		for e, err := range c.state.Scan(numKey(keyTask, num), numKey(keyTask, num+1)) {
			if err != nil {
				c.fail(err)
				return nil
			}
			_, task := taskOfKey(e.Key)
			t, err := decodeTask(i, task, e.Value)
			if err != nil {
				c.fail(fmt.Errorf("instance %q: task %d: %w", i.row.Id, task, err))
				return nil
			}
			i.open[task] = t
		}
		c.adoptTasks(i)
	}
	i.deaths = int(i.row.Deaths)
	_, i.held = c.held[num]
	if i.row.NonDeterministic {
		c.nonDeterministic[num] = struct{}{} // its events wait, so a recovery loads it
	}
	return i
}

// byNum finds an instance by its creation number.
func (c *Core) byNum(num uint64) *instance {
	if i := c.cache.byNum[num]; i != nil {
		c.cache.use(i)
		return i
	}
	i := c.load(num)
	if i != nil {
		c.cache.add(i)
	}
	return i
}

// find finds an instance by its id.
func (c *Core) find(id string) *instance {
	if i := c.cache.byID[id]; i != nil {
		c.cache.use(i)
		return i
	}
	if _, gone := c.tombstones[id]; gone {
		return nil
	}
	v, err := c.state.Get(idKey(id))
	if err != nil || v == nil {
		c.fail(err)
		return nil
	}
	if len(v) != 8 {
		c.fail(fmt.Errorf("instance %q: index entry of %d bytes", id, len(v)))
		return nil
	}
	return c.byNum(binary.BigEndian.Uint64(v))
}

// past reads the history of the present execution: what the state shows, then the
// chunks that it cannot show yet.
func (c *Core) past(i *instance) ([][]byte, error) {
	var chunks [][]byte
	want := int(i.row.Chunks) - len(i.unapplied)
	if want > 0 {
		lo := historyPrefix(i.num, i.row.Generation)
		hi := historyKey(i.num, i.row.Generation, uint32(want))
		for e, err := range c.state.Scan(lo, hi) {
			if err != nil {
				return nil, err
			}
			chunks = append(chunks, append([]byte(nil), e.Value...))
		}
		if len(chunks) != want {
			return nil, fmt.Errorf("instance %q: %d of %d history chunks", i.row.Id, len(chunks), want)
		}
	}
	for _, p := range i.unapplied {
		chunks = append(chunks, p.chunk)
	}
	if len(i.chunk) > 0 {
		chunks = append(chunks, append([]byte(nil), i.chunk...))
	}
	return chunks, nil
}

// hashID is 32 hex digits out of seed.
func hashID(seed ...string) string {
	h := sha256.New()
	for _, s := range seed {
		_, _ = io.WriteString(h, s)
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// cache keeps instances decoded. Those that are being worked on, that someone
// waits for, or whose last batch is not applied stay; the rest goes, least recently
// used first.
type cache struct {
	byID  map[string]*instance
	byNum map[uint64]*instance
	root  instance // of the ring: root.next is the most recent
}

func (c *cache) init() {
	c.byID = map[string]*instance{}
	c.byNum = map[uint64]*instance{}
	c.root.prev, c.root.next = &c.root, &c.root
}

func (c *cache) add(i *instance) {
	c.byID[i.row.Id] = i
	c.byNum[i.num] = i
	c.front(i)
}

func (c *cache) front(i *instance) {
	i.prev, i.next = &c.root, c.root.next
	i.prev.next, i.next.prev = i, i
}

func (c *cache) use(i *instance) {
	i.prev.next, i.next.prev = i.next, i.prev
	c.front(i)
}

func (c *cache) remove(i *instance) {
	if c.byID[i.row.Id] == i {
		delete(c.byID, i.row.Id)
	}
	delete(c.byNum, i.num)
	i.prev.next, i.next.prev = i.next, i.prev
}

// idle reports whether memory holds nothing of the instance that the state does not.
func (i *instance) idle(applied uint64) bool {
	return !i.isDirty && !i.isReady && i.out == nil && i.activities == 0 && len(i.waiters) == 0 && i.sealedIn <= applied
}

// shrink lets the least recently used idle instances go, down to limit. It looks at
// a bounded number, so that busy instances at the far end do not make it scan.
func (c *Core) shrink() {
	over := len(c.cache.byNum) - c.cfg.MaxCached
	for i, looked := c.cache.root.prev, 0; over > 0 && looked < 2*64 && i != &c.cache.root; looked++ {
		prev := i.prev
		if i.idle(c.applied) {
			c.cache.remove(i)
			over--
		}
		i = prev
	}
}
