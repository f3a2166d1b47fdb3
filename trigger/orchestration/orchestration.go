// Package orchestration is the orchestrationTrigger: an episode of the engine in,
// an invocation of a function app out, and back. History is passed on as the
// engine encoded it; nothing is decoded on the way.
package orchestration

import (
	"encoding/json"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger"
)

// Type is the binding's type.
const Type = "orchestrationTrigger"

// Kind describes the binding (F§6.2).
var Kind = trigger.Kind{
	Type:       Type,
	Trigger:    true,
	Properties: []string{"orchestration", "durableRequiresGrpc"},
	Check: func(props map[string]json.RawMessage) error {
		_, err := trigger.StringProperty(props, "orchestration")
		return err
	},
}

// Target is the orchestrator name that calls a function by this trigger.
func Target(function string, b *protocol.Binding) string {
	return trigger.Target(function, b, "orchestration")
}

// Work makes the invocation of it, numbered id on the wire. It shares the item's bytes,
// which must not change any more. Several chunks of past are joined: an encoded
// History appended to another is one History.
func Work(id uint64, it *work.Item) *protocol.OrchestratorWork {
	e := it.Episode
	return &protocol.OrchestratorWork{
		Work:        id,
		InstanceId:  it.Instance,
		ExecutionId: it.Execution,
		Position:    e.Position,
		HasHistory:  e.HasHistory,
		PastEvents:  join(e.Past),
		NewEvents:   e.New,
		Name:        it.Name,
		Epoch:       it.Token.Epoch,
		Serial:      it.Token.Serial,
		AfterEpoch:  e.After.Epoch,
		AfterSerial: e.After.Serial,
	}
}

func join(chunks [][]byte) []byte {
	switch len(chunks) {
	case 0:
		return nil
	case 1:
		return chunks[0]
	}
	size := 0
	for _, c := range chunks {
		size += len(c)
	}
	all := make([]byte, 0, size)
	for _, c := range chunks {
		all = append(all, c...)
	}
	return all
}

// Result fills dst with the app's answer.
func Result(dst *work.EpisodeResult, r *protocol.OrchestratorResult) {
	*dst = work.EpisodeResult{
		HistoryNeeded:  r.GetHistoryNeeded(),
		NonDeterminism: r.GetNonDeterminism(),
		Actions:        r.GetActions(),
		CustomStatus:   history.UnwrapText(r.GetCustomStatus()),
	}
}
