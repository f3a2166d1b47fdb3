package partition

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/commitlog"
	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// sweep finds, once per owner, what earlier owners left: tables that the root does not
// name, payloads whose commit never came, and the first slot of the log. Their grace
// begins now, since nobody knows when they stopped being named.
func (g *garbage) sweep(ctx context.Context, now time.Duration) error {
	if g.swept {
		return nil
	}
	ctx, cancel := g.cfg.Sched.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	named := g.named()
	prefix := g.cfg.tablePrefix()
	for e, err := range g.cfg.Store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Key, prefix)
		if _, noted := g.tables[name]; !noted && !named[name] {
			g.tables[name] = now
		}
	}
	for e, err := range g.cfg.Store.List(ctx, g.cfg.payloadPrefix(), "") {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Key, g.cfg.payloadPrefix())
		if epoch, _, ok := strings.Cut(name, "-"); ok && epoch != strconv.FormatUint(g.keep.Epoch, 10) {
			g.orphans = append(g.orphans, name)
		}
	}
	for e, err := range g.cfg.Store.List(ctx, g.cfg.log().Prefix, "") {
		if err != nil {
			return err
		}
		seq, err := commitlog.SeqOfKey(e.Key)
		if err != nil {
			continue // not ours: leave it
		}
		g.nextSlot = seq
		break
	}
	g.swept = true
	return nil
}

// remove deletes one object and reports whether that is certain. Not without a lease: who
// has lost it does not know any more what the root names.
func (g *garbage) remove(ctx context.Context, key string) bool {
	ctx, cancel := g.cfg.Sched.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	if g.cfg.Session.Await(ctx) != nil {
		return false
	}
	return g.cfg.Store.Delete(g.cfg.Session.Sign(ctx), key) == nil
}

// tidyTimeout is when a deletion or listing without an answer is given up, until the
// next checkpoint.
const tidyTimeout = 30 * time.Second

// grace is deleteGrace, but for a planted bug.
func grace() time.Duration {
	if planted.Is(planted.NoGrace) {
		return 0
	}
	return deleteGrace
}

// due lists, in order, the names that have been needless for the whole grace.
func due(since map[string]time.Duration, now time.Duration) []string {
	var names []string
	for name, at := range since {
		if now-at >= grace() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
