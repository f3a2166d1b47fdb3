package core

import "encoding/binary"

// The keys of a partition's state. Numbers are big-endian, so that keys sort by
// them. An instance's keys start with its creation number, not with its id: new
// instances append at one end of the key space, which costs an LSM half as much.
//
//	i <num>                  InstanceRow
//	j <num>                  its input, when big
//	n <id>                   num: the index of instance ids
//	h <num><gen><chunk>      framed events of one commit: one history.History
//	q <num><seq>             a framed event that no finished episode has consumed
//	t <num><task>            OpenTask; task -1 is a scheduled start
//	p <name> 0 <num>         (empty): instance num refers to payload object name
//	x <dst><seq>             Message: outbox
//	g <name>                 payload object that nobody refers to; since when, Unix ns
//	r <span><request id>     RequestRow; spans are numbered in order, see once.go
//	m                        Meta
const (
	keyInstance = 'i'
	keyInput    = 'j'
	keyID       = 'n'
	keyHistory  = 'h'
	keyInbox    = 'q'
	keyTask     = 't'
	keyPayload  = 'p'
	keyOutbox   = 'x'
	keyGarbage  = 'g'
	keyRequest  = 'r'
	keyMeta     = 'm'
)

func numKey(kind byte, num uint64) []byte {
	k := make([]byte, 1, 1+8+8)
	k[0] = kind
	return binary.BigEndian.AppendUint64(k, num)
}

func idKey(id string) []byte { return append([]byte{keyID}, id...) }

func historyKey(num uint64, gen, chunk uint32) []byte {
	k := binary.BigEndian.AppendUint32(numKey(keyHistory, num), gen)
	return binary.BigEndian.AppendUint32(k, chunk)
}

// historyPrefix is the prefix of one execution's chunks.
func historyPrefix(num uint64, gen uint32) []byte {
	return binary.BigEndian.AppendUint32(numKey(keyHistory, num), gen)
}

func inboxKey(num, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numKey(keyInbox, num), seq)
}

// taskKey flips the sign bit, so that -1 sorts before 0.
func taskKey(num uint64, task int32) []byte {
	return binary.BigEndian.AppendUint32(numKey(keyTask, num), uint32(task)^1<<31)
}

func taskOfKey(k []byte) (num uint64, task int32) {
	return binary.BigEndian.Uint64(k[1:]), int32(binary.BigEndian.Uint32(k[9:]) ^ 1<<31)
}

func payloadKey(name string, num uint64) []byte {
	k := append([]byte{keyPayload}, name...)
	return binary.BigEndian.AppendUint64(append(k, 0), num)
}

func payloadOfKey(k []byte) (name string, num uint64) {
	n := len(k) - 9
	return string(k[1:n]), binary.BigEndian.Uint64(k[n+1:])
}

func outboxKey(dst int, seq uint64) []byte {
	k := binary.BigEndian.AppendUint16([]byte{keyOutbox}, uint16(dst))
	return binary.BigEndian.AppendUint64(k, seq)
}

func outboxOfKey(k []byte) (dst int, seq uint64) {
	return int(binary.BigEndian.Uint16(k[1:])), binary.BigEndian.Uint64(k[3:])
}

func garbageKey(name string) []byte { return append([]byte{keyGarbage}, name...) }

func requestKey(span uint64, id string) []byte {
	return append(numKey(keyRequest, span), id...)
}

func requestOfKey(k []byte) (span uint64, id string) {
	return binary.BigEndian.Uint64(k[1:]), string(k[9:])
}
