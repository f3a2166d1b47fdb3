package partition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/verdict"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Payloads stores the payloads that are too big to travel inside events.
type Payloads interface {
	// Put stores a payload as an object if it is larger than history.InlineBytes and
	// answers what stands for it: the payload itself, or a reference.
	Put(ctx context.Context, payload *string) (*string, error)
}

// ErrPayloadTooLarge means that a payload exceeds maxPayloadBytes.
var ErrPayloadTooLarge = errors.New("payload is too large")

// payloadStore keeps the payload objects of one partition under one epoch.
type payloadStore struct {
	cfg   *Config
	epoch uint64
	next  atomic.Uint64
}

func (s *payloadStore) init(cfg *Config, epoch uint64) { s.cfg, s.epoch = cfg, epoch }

func large(p *string) bool {
	return p != nil && len(*p) > history.InlineBytes && !history.IsPayloadRef(*p)
}

// Put implements Payloads.
func (s *payloadStore) Put(ctx context.Context, payload *string) (*string, error) {
	if !large(payload) {
		return payload, nil
	}
	if len(*payload) > s.cfg.MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, maxPayloadBytes is %d", ErrPayloadTooLarge, len(*payload), s.cfg.MaxPayload)
	}
	sum := sha256.Sum256([]byte(*payload))
	ref := history.PayloadRef{
		Partition: s.cfg.N, Name: fmt.Sprintf("%d-%d", s.epoch, s.next.Add(1)),
		Bytes: int64(len(*payload)), SHA256: hex.EncodeToString(sum[:]),
	}
	// The object is there before the commit that refers to it.
	if err := checkpoint.PutOnce(ctx, s.cfg.Sched, s.cfg.Session, s.cfg.Store, s.cfg.payloadPrefix()+ref.Name, []byte(*payload)); err != nil {
		return nil, err
	}
	text := ref.String()
	return &text, nil
}

// ReadPayload fetches what a reference stands for; other text is answered as it is.
// prefix is the prefix of the partition that the reference names.
func ReadPayload(ctx context.Context, store storage.Store, prefix func(partition int) string, text string) (string, error) {
	if !history.IsPayloadRef(text) {
		return text, nil
	}
	ref, err := history.ParsePayloadRef(text)
	if err != nil {
		return "", err
	}
	key := prefix(ref.Partition) + "payload/" + ref.Name
	for read := 1; ; read++ {
		b, _, err := store.Get(ctx, key)
		if err != nil {
			return "", fmt.Errorf("payload: %w", err)
		}
		bad := checkPayload(key, ref, b)
		switch {
		case bad == nil:
			return string(b), nil
		case read == verdict.GoodReads:
			return "", bad
		}
	}
}

// adoptTimeout is when an unanswered read of another partition's payload is made again.
const adoptTimeout = 20 * time.Second

// checkPayload compares a payload object with what refers to it.
func checkPayload(key string, ref history.PayloadRef, b []byte) error {
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return &CorruptError{Key: key, Err: errors.New("checksum does not match its reference")}
	}
	return nil
}

// hasLarge reports whether results hold a payload that must be stored first.
func (s *payloadStore) hasLarge(results []*work.Result) bool {
	for _, r := range results {
		if r.Activity != nil && large(r.Activity.Result) || r.Episode != nil && slices.ContainsFunc(r.Episode.Actions, carriesLarge) {
			return true
		}
	}
	return false
}

func carriesLarge(a *history.OrchestratorAction) bool {
	if p := payloadOf(a); p != nil && large(&p.Value) {
		return true
	}
	for _, carried := range a.GetCompleteOrchestration().GetCarryoverEvents() {
		if in := carried.GetEventRaised().GetInput(); in != nil && large(&in.Value) {
			return true
		}
	}
	return false
}

// payloadOf is the payload that an action carries.
func payloadOf(a *history.OrchestratorAction) *wrapperspb.StringValue {
	switch k := a.OrchestratorActionType.(type) {
	case *history.OrchestratorAction_ScheduleTask:
		return k.ScheduleTask.Input
	case *history.OrchestratorAction_CreateSubOrchestration:
		return k.CreateSubOrchestration.Input
	case *history.OrchestratorAction_SendEvent:
		return k.SendEvent.Data
	case *history.OrchestratorAction_CompleteOrchestration:
		return k.CompleteOrchestration.Result
	}
	return nil
}

// intern stores the large payloads of results and puts references in their place. One
// above the limit fails the call that made it, inside the orchestrator, for good.
func (s *payloadStore) intern(ctx context.Context, results []*work.Result) error {
	for _, r := range results {
		if r.Activity != nil {
			if err := s.internResult(ctx, r.Activity); err != nil {
				return err
			}
		}
		if r.Episode != nil {
			for n, a := range r.Episode.Actions {
				if err := s.internAction(ctx, r.Episode, n, a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *payloadStore) internResult(ctx context.Context, a *work.ActivityResult) error {
	ref, err := s.Put(ctx, a.Result)
	if errors.Is(err, ErrPayloadTooLarge) {
		a.Result, a.Failure = nil, tooLarge("result", err)
		return nil
	}
	if err == nil {
		a.Result = ref
	}
	return err
}

func (s *payloadStore) internAction(ctx context.Context, e *work.EpisodeResult, n int, a *history.OrchestratorAction) error {
	for _, carried := range a.GetCompleteOrchestration().GetCarryoverEvents() {
		if in := carried.GetEventRaised().GetInput(); in != nil && !history.IsPayloadRef(in.Value) {
			ref, err := s.Put(ctx, &in.Value)
			if err != nil {
				return err
			}
			in.Value = *ref
		}
	}
	p := payloadOf(a)
	if p == nil {
		return nil
	}
	ref, err := s.Put(ctx, &p.Value)
	if err == nil {
		p.Value = *ref
		return nil
	}
	if !errors.Is(err, ErrPayloadTooLarge) {
		return err
	}
	p.Value = ""
	switch a.OrchestratorActionType.(type) {
	case *history.OrchestratorAction_ScheduleTask, *history.OrchestratorAction_CreateSubOrchestration:
		if e.Rejected == nil {
			e.Rejected = map[int32]*history.TaskFailureDetails{}
		}
		e.Rejected[a.Id] = tooLarge("input", err)
	default:
		// Neither an event to another instance nor a result can fail inside the
		// orchestrator: it has moved on. The instance fails.
		e.Actions[n] = &history.OrchestratorAction{Id: a.Id, OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{
			CompleteOrchestration: &history.CompleteOrchestrationAction{
				OrchestrationStatus: history.Failed, FailureDetails: tooLarge("output", err),
			},
		}}
	}
	return nil
}

func tooLarge(what string, err error) *history.TaskFailureDetails {
	return &history.TaskFailureDetails{ErrorType: core.ErrorTypePayloadTooLarge, ErrorMessage: what + ": " + err.Error(), IsNonRetriable: true}
}

// isForeign reports whether a message refers to a payload object of another partition.
func (s *payloadStore) isForeign(m *core.Message) bool {
	return history.IsPayloadRef(m.GetStart().GetInput()) || m.GetEvent().GetPayload()
}

// adopt copies the payloads that messages from another partition refer to: an object
// belongs to one partition and goes when its instances go.
func (s *payloadStore) adopt(ctx context.Context, messages []*core.Message) error {
	for _, m := range messages {
		if start := m.GetStart(); start != nil {
			if err := s.adoptText(ctx, start.Input); err != nil {
				return err
			}
		}
		if event := m.GetEvent(); event != nil {
			if err := s.adoptEvent(ctx, event); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *payloadStore) adoptEvent(ctx context.Context, m *core.EventMessage) error {
	e := &history.HistoryEvent{}
	if err := e.UnmarshalVT(m.Event); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	p := e.GetEventRaised().GetInput()
	if p == nil {
		p = e.GetSubOrchestrationInstanceCompleted().GetResult()
	}
	if p == nil || !history.IsPayloadRef(p.Value) {
		return nil
	}
	if err := s.adoptText(ctx, &p.Value); err != nil {
		return err
	}
	b, err := e.MarshalVT()
	m.Event = b
	return err
}

func (s *payloadStore) adoptText(ctx context.Context, text *string) error {
	if text == nil || !history.IsPayloadRef(*text) {
		return nil
	}
	ref, err := history.ParsePayloadRef(*text)
	if err != nil || ref.Partition == s.cfg.N {
		return err
	}
	foreign := s.cfg.Prefix(ref.Partition) + "payload/" + ref.Name
	// The copy gets a checksum of its own: damage that is not noticed here never is.
	r := verdict.Reader{Store: s.cfg.Store, Clock: s.cfg.Sched, Timeout: adoptTimeout}
	copied, err := r.Get(ctx, foreign, func(b []byte) error { return checkPayload(foreign, ref, b) })
	if err == nil {
		err = copied.Bad
	}
	if err != nil {
		return err
	}
	body := string(copied.Body)
	own, err := s.Put(ctx, &body)
	if err == nil {
		*text = *own
	}
	return err
}
