package core

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/durafunc/durafunc/taskhub/history"
)

// payloads knows which instances refer to which payload objects of this partition,
// and which objects nobody refers to any more.
type payloads struct {
	owners  map[string][]uint64 // object name → instance numbers
	owned   map[uint64][]string // instance number → object names
	garbage map[string]int64    // object name → unreferenced since
}

func newPayloads() payloads {
	return payloads{owners: map[string][]uint64{}, owned: map[uint64][]string{}, garbage: map[string]int64{}}
}

func (p *payloads) add(name string, num uint64) {
	p.owners[name] = append(p.owners[name], num)
	p.owned[num] = append(p.owned[num], name)
}

// retain records that an instance refers to the payload behind text, if it is one.
func (c *Core) retain(i *instance, text *string) {
	if text == nil || !history.IsPayloadRef(*text) {
		return
	}
	ref, err := history.ParsePayloadRef(*text)
	if err != nil || ref.Partition != c.cfg.Partition || slices.Contains(c.payloads.owners[ref.Name], i.num) {
		return
	}
	if _, was := c.payloads.garbage[ref.Name]; was {
		delete(c.payloads.garbage, ref.Name)
		c.batch.Delete(garbageKey(ref.Name))
	}
	c.payloads.add(ref.Name, i.num)
	i.row.Payloads++
	c.batch.Put(payloadKey(ref.Name, i.num), nil)
	c.touch(i)
}

// release drops an instance's references; objects that nobody refers to are garbage
// from now on.
func (c *Core) release(now int64, i *instance) {
	for _, name := range c.payloads.owned[i.num] {
		c.batch.Delete(payloadKey(name, i.num))
		rest := slices.DeleteFunc(c.payloads.owners[name], func(n uint64) bool { return n == i.num })
		if len(rest) > 0 {
			c.payloads.owners[name] = rest
			continue
		}
		delete(c.payloads.owners, name)
		c.payloads.garbage[name] = now
		c.batch.Put(garbageKey(name), strconv.AppendInt(nil, now, 10))
	}
	delete(c.payloads.owned, i.num)
	i.row.Payloads = 0
}

// Garbage lists the payload objects that nobody has referred to since before.
func (c *Core) Garbage(before int64) []string {
	var names []string
	for name, since := range c.payloads.garbage {
		if since < before {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Collected forgets garbage whose objects are deleted.
func (c *Core) Collected(names []string) {
	for _, name := range names {
		delete(c.payloads.garbage, name)
		c.batch.Delete(garbageKey(name))
	}
}

// Orphans are payload objects that owners of earlier epochs stored. Those that no
// instance refers to never will be referred to: they are garbage from now on.
func (c *Core) Orphans(now int64, names []string) {
	for _, name := range names {
		_, garbage := c.payloads.garbage[name]
		if !garbage && len(c.payloads.owners[name]) == 0 {
			c.payloads.garbage[name] = now
			c.batch.Put(garbageKey(name), strconv.AppendInt(nil, now, 10))
		}
	}
}

func (c *Core) loadPayloads(int64) error {
	for e, err := range c.state.Scan([]byte{keyPayload}, []byte{keyPayload + 1}) {
		if err != nil {
			return err
		}
		c.payloads.add(payloadOfKey(e.Key))
	}
	for e, err := range c.state.Scan([]byte{keyGarbage}, []byte{keyGarbage + 1}) {
		if err != nil {
			return err
		}
		since, err := strconv.ParseInt(string(e.Value), 10, 64)
		if err != nil {
			return err
		}
		c.payloads.garbage[string(e.Key[1:])] = since
	}
	return nil
}

// num8 is a creation number as the id index stores it.
func num8(num uint64) []byte { return binary.BigEndian.AppendUint64(nil, num) }
