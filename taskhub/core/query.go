package core

import (
	"encoding/binary"
	"fmt"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
)

// View is the committed state of one instance.
type View struct {
	Number uint64 // grows with each instance created in the partition
	Row    InstanceRow
}

// Lookup reads the committed row of an instance, or nil if there is none.
func Lookup(r kv.Reader, id string) (*View, error) {
	v, err := r.Get(idKey(id))
	if err != nil || v == nil {
		return nil, err
	}
	if len(v) != 8 {
		return nil, fmt.Errorf("instance %q: index entry of %d bytes", id, len(v))
	}
	num := binary.BigEndian.Uint64(v)
	if v, err = r.Get(numKey(keyInstance, num)); err != nil || v == nil {
		return nil, err
	}
	return decodeView(num, v)
}

func decodeView(num uint64, value []byte) (*View, error) {
	v := &View{Number: num}
	if err := v.Row.UnmarshalVT(value); err != nil {
		return nil, fmt.Errorf("instance %d: %w", num, err)
	}
	return v, nil
}

// Input reads the instance's input, which may stand beside its row.
func (v *View) Input(r kv.Reader) (*string, error) {
	if !v.Row.BigInput {
		return v.Row.Input, nil
	}
	b, err := r.Get(numKey(keyInput, v.Number))
	if err != nil || b == nil {
		return nil, err
	}
	input := string(b)
	return &input, nil
}

// History reads the committed events of the present execution.
func (v *View) History(r kv.Reader) ([]*history.HistoryEvent, error) {
	var h history.History
	lo := historyPrefix(v.Number, v.Row.Generation)
	for e, err := range r.Scan(lo, historyPrefix(v.Number, v.Row.Generation+1)) {
		if err != nil {
			return nil, err
		}
		if err := h.UnmarshalVT(e.Value); err != nil {
			return nil, fmt.Errorf("instance %q: history: %w", v.Row.Id, err)
		}
	}
	return h.Events, nil
}

// Each yields the committed instances created after number after, in the order of
// their creation, until visit says stop.
func Each(r kv.Reader, after uint64, visit func(*View) (more bool, err error)) error {
	for e, err := range r.Scan(numKey(keyInstance, after+1), []byte{keyInstance + 1}) {
		if err != nil {
			return err
		}
		v, err := decodeView(binary.BigEndian.Uint64(e.Key[1:]), e.Value)
		if err != nil {
			return err
		}
		if more, err := visit(v); err != nil || !more {
			return err
		}
	}
	return nil
}
