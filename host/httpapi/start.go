package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// start serves POST /orchestrators/{name}/{id?}; an empty id lets the hub choose.
func (a *api) start(w http.ResponseWriter, r *http.Request, q query, name, id string) {
	wait, problem := waitTime(q)
	if problem == "" {
		problem = textOf(history.CheckOrchestratorName(name))
	}
	if problem == "" && id != "" {
		problem = textOf(history.CheckInstanceID(id))
	}
	if problem == "" {
		problem = a.unknownOrchestrator(name)
	}
	if problem != "" {
		badArgument(w, problem)
		return
	}
	body, err := readBody(r, a.MaxPayloadBytes)
	var input *string
	if err == nil {
		input, err = optionalJSON(body)
	}
	if err != nil {
		a.badBody(w, err)
		return
	}
	a.startAndAnswer(w, r, wait, taskhub.StartRequest{Name: name, ID: id, Input: input, Version: q.text("version")})
}

// startAndAnswer starts an instance and, if wait is not negative, waits that long
// for its end.
func (a *api) startAndAnswer(w http.ResponseWriter, r *http.Request, wait time.Duration, req taskhub.StartRequest) {
	started, err := a.Client.Start(r.Context(), req)
	if err != nil {
		a.fail(w, r, req.ID, err)
		return
	}
	if wait >= 0 && a.answerEnd(w, r, started.ID, wait) {
		return
	}
	a.checkStatus(w, r, started.ID)
}

// waitTime is how long a start waits for the end of its instance; negative: not at
// all. Since the hub tells when an instance ends, timeout alone is enough, and the
// polling interval is only checked (F§3.2).
func waitTime(q query) (wait time.Duration, problem string) {
	timeout, ok := q.seconds("timeout")
	if !ok {
		return -1, ""
	}
	if interval, ok := q.seconds("pollingInterval"); ok && interval > timeout {
		return -1, "pollingInterval must not be greater than timeout"
	}
	return timeout, ""
}

// answerEnd waits for the end of an instance and answers with its output, or its
// status object if it failed (F§2.4 K41). It returns false, with nothing written,
// when the answer has to be the links. So it does on every error: the start is
// committed, and a client told of an error would start another instance.
func (a *api) answerEnd(w http.ResponseWriter, r *http.Request, id string, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	in, err := a.Client.Wait(ctx, id, taskhub.GetOptions{Payloads: true})
	if err != nil || !history.IsTerminal(in.Status) {
		return false
	}
	if in.Status == history.Completed {
		writeJSON(w, http.StatusOK, appendPayload(nil, in.Output))
	} else {
		writeJSON(w, http.StatusOK, appendStatus(nil, in, true, nil))
	}
	return true
}

// restart serves POST /instances/{id}/restart: the same orchestrator, version,
// input and tags, under a new id or the same one (F§2.3 K35).
func (a *api) restart(w http.ResponseWriter, r *http.Request, q query, id string) {
	wait, problem := waitTime(q)
	if problem != "" {
		badArgument(w, problem)
		return
	}
	in, err := a.Client.Get(r.Context(), id, taskhub.GetOptions{Payloads: true})
	if errors.Is(err, taskhub.ErrNotFound) {
		writeError(w, http.StatusBadRequest, errorBody{Message: msgNoInstance})
		return
	}
	if err != nil {
		a.fail(w, r, id, err)
		return
	}
	if problem := a.unknownOrchestrator(in.Name); problem != "" {
		badArgument(w, problem)
		return
	}
	req := taskhub.StartRequest{Name: in.Name, Input: in.Input, Version: in.Version, Tags: in.Tags}
	if !q.boolean("restartWithNewInstanceId", true) {
		req.ID = in.ID
	}
	a.startAndAnswer(w, r, wait, req)
}
