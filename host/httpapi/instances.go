package httpapi

import (
	"net/http"
	"strconv"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// Page sizes of a list. There is a greatest one because a client may ask for
// everything with all payloads; it follows the token for the rest.
const (
	defaultTop = 100
	maxTop     = 1000
)

const continuationHeader = "x-ms-continuation-token"

// get serves GET /instances/{id}.
func (a *api) get(w http.ResponseWriter, r *http.Request, q query, id string) {
	in, err := a.Client.Get(r.Context(), id, taskhub.GetOptions{Payloads: true})
	if err != nil {
		a.fail(w, r, id, err)
		return
	}
	showInput := q.boolean("showInput", true)
	var events []byte
	// A pending instance has no history yet, and says so by having no such field.
	if q.boolean("showHistory", false) && in.Status != history.Pending {
		h, err := a.Client.History(r.Context(), id)
		if err != nil {
			a.fail(w, r, id, err)
			return
		}
		events = appendEvents(nil, h, showInput, q.boolean("showHistoryOutput", false))
	}
	code := http.StatusOK
	switch {
	case !history.IsTerminal(in.Status):
		code = http.StatusAccepted
		w.Header().Set("Location", authority(r)+r.URL.RequestURI())
		setRetryAfter(w, retryRunning)
	case in.Status == history.Failed && q.boolean("returnInternalServerErrorOnFailure", false):
		code = http.StatusInternalServerError
	}
	writeJSON(w, code, appendStatus(make([]byte, 0, 1024+2*len(events)), in, showInput, events))
}

// list serves GET /instances.
func (a *api) list(w http.ResponseWriter, r *http.Request, q query) {
	filter := a.filter(q)
	filter.Payloads = true
	filter.Token = r.Header.Get(continuationHeader)
	filter.Top = q.integer("top", defaultTop)
	if filter.Top <= 0 {
		filter.Top = defaultTop
	}
	filter.Top = min(filter.Top, maxTop)
	page, err := a.Client.List(r.Context(), filter)
	if err != nil {
		a.fail(w, r, "", err)
		return
	}
	showInput := q.boolean("showInput", true)
	b := make([]byte, 0, 2+512*len(page.Instances))
	b = append(b, '[')
	for i, in := range page.Instances {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendStatus(b, in, showInput, nil)
	}
	if page.Token != "" {
		w.Header().Set(continuationHeader, page.Token)
	}
	writeJSON(w, http.StatusOK, append(b, ']'))
}

func (a *api) filter(q query) taskhub.Query {
	f := taskhub.Query{Statuses: q.statuses("runtimeStatus")}
	f.CreatedFrom, _ = q.date("createdTimeFrom")
	f.CreatedTo, _ = q.date("createdTimeTo")
	f.IDPrefix, _ = q.get("instanceIdPrefix")
	return f
}

// purgeBy serves DELETE /instances. The prefix is ours: not to honour a filter
// would delete more than was asked for.
func (a *api) purgeBy(w http.ResponseWriter, r *http.Request, q query) {
	filter := a.filter(q)
	if _, ok := q.date("createdTimeFrom"); !ok {
		writeJSON(w, http.StatusBadRequest, appendString(nil, msgNoDate)) // a bare string (F§3.2)
		return
	}
	if filter.CreatedTo.IsZero() {
		filter.CreatedTo = a.now()
	}
	n, err := a.Client.PurgeBy(r.Context(), filter)
	if err != nil {
		a.fail(w, r, "", err)
		return
	}
	writeDeleted(w, n)
}

// purge serves DELETE /instances/{id}; a running instance is refused (F§14 D10).
func (a *api) purge(w http.ResponseWriter, r *http.Request, id string) {
	if err := a.Client.Purge(r.Context(), id); err != nil {
		a.fail(w, r, id, err)
		return
	}
	writeDeleted(w, 1)
}

func writeDeleted(w http.ResponseWriter, n int) {
	if n == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, append(strconv.AppendInt([]byte(`{"instancesDeleted":`), int64(n), 10), '}'))
}
