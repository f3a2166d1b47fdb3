package httpapi

import (
	"net/http"
	"strings"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// raiseEvent serves POST /instances/{id}/raiseEvent/{name}. An instance that is
// unknown or has ended is told first, even to a malformed request (F§3.2); a
// well-formed one needs a single call, which makes the same checks.
func (a *api) raiseEvent(w http.ResponseWriter, r *http.Request, id, name string) {
	var data string
	body, err := []byte(nil), error(nil)
	isJSON := isJSONContent(r.Header.Get("Content-Type"))
	if isJSON {
		if body, err = readBody(r, a.MaxPayloadBytes); err == nil {
			data, err = firstJSON(body)
		}
	}
	problem := textOf(history.CheckText("an event's name", name))
	if isJSON && err == nil && problem == "" {
		if err := a.Client.RaiseEvent(r.Context(), id, name, &data); err != nil {
			a.fail(w, r, id, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}

	in, getErr := a.Client.Get(r.Context(), id, taskhub.GetOptions{})
	switch {
	case getErr != nil:
		a.fail(w, r, id, getErr)
	case history.IsTerminal(in.Status):
		w.WriteHeader(http.StatusGone)
	case !isJSON:
		writeError(w, http.StatusBadRequest, errorBody{Message: msgContentType})
	case err != nil:
		a.badBody(w, err)
	default:
		badArgument(w, problem)
	}
}

// isJSONContent compares the media type without its parameters.
func isJSONContent(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// terminate reaches children only with recursive=true, which is ours: the HTTP API
// follows the reference (F§14 1.15).
func (a *api) terminate(w http.ResponseWriter, r *http.Request, q query, id string) {
	a.accepted(w, r, id, a.Client.Terminate(r.Context(), id, q.text("reason"), q.boolean("recursive", false)))
}

func (a *api) suspend(w http.ResponseWriter, r *http.Request, q query, id string) {
	a.accepted(w, r, id, a.Client.Suspend(r.Context(), id, q.text("reason")))
}

func (a *api) resume(w http.ResponseWriter, r *http.Request, q query, id string) {
	a.accepted(w, r, id, a.Client.Resume(r.Context(), id, q.text("reason")))
}

func (a *api) accepted(w http.ResponseWriter, r *http.Request, id string, err error) {
	if err != nil {
		a.fail(w, r, id, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}
