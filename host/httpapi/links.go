package httpapi

import (
	"net/http"
	"net/url"
)

// Links makes the URLs by which an instance is managed (F§3.5).
type Links struct {
	// Authority is scheme and host, as in "http://localhost:7071".
	Authority string
	TaskHub   string
}

// connection is the name that links carry for the hub's store. There is one store, but
// clients expect the parameter.
const connection = "Storage"

// Payload is the management payload of an instance; the check-status response
// (F§3.4) has the same fields in the same order, rewindPostUri included (F§14 D7).
type Payload struct {
	ID                    string `json:"id"`
	StatusQueryGetURI     string `json:"statusQueryGetUri"`
	SendEventPostURI      string `json:"sendEventPostUri"`
	TerminatePostURI      string `json:"terminatePostUri"`
	RewindPostURI         string `json:"rewindPostUri"`
	PurgeHistoryDeleteURI string `json:"purgeHistoryDeleteUri"`
	RestartPostURI        string `json:"restartPostUri"`
	SuspendPostURI        string `json:"suspendPostUri"`
	ResumePostURI         string `json:"resumePostUri"`
}

// Payload builds the links of instance id. "{eventName}" and "{text}" stay in them
// for the caller to replace.
func (l Links) Payload(id string) Payload {
	instance := l.Authority + BasePath + "/instances/" + url.PathEscape(id)
	q := "taskHub=" + url.QueryEscape(l.TaskHub) + "&connection=" + connection
	status := instance + "?" + q
	return Payload{
		ID:                    id,
		StatusQueryGetURI:     status,
		SendEventPostURI:      instance + "/raiseEvent/{eventName}?" + q,
		TerminatePostURI:      instance + "/terminate?reason={text}&" + q,
		RewindPostURI:         instance + "/rewind?reason={text}&" + q,
		PurgeHistoryDeleteURI: status,
		RestartPostURI:        instance + "/restart?" + q,
		SuspendPostURI:        instance + "/suspend?reason={text}&" + q,
		ResumePostURI:         instance + "/resume?reason={text}&" + q,
	}
}

// appendJSON writes the payload by hand: it is the answer of every start.
func (p *Payload) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), p.ID)
	b = appendString(append(b, `,"statusQueryGetUri":`...), p.StatusQueryGetURI)
	b = appendString(append(b, `,"sendEventPostUri":`...), p.SendEventPostURI)
	b = appendString(append(b, `,"terminatePostUri":`...), p.TerminatePostURI)
	b = appendString(append(b, `,"rewindPostUri":`...), p.RewindPostURI)
	b = appendString(append(b, `,"purgeHistoryDeleteUri":`...), p.PurgeHistoryDeleteURI)
	b = appendString(append(b, `,"restartPostUri":`...), p.RestartPostURI)
	b = appendString(append(b, `,"suspendPostUri":`...), p.SuspendPostURI)
	b = appendString(append(b, `,"resumePostUri":`...), p.ResumePostURI)
	return append(b, '}')
}

// authority is scheme and host as the client sees them (F§3.1 W16).
func authority(r *http.Request) string {
	scheme, host := "http://", r.Host
	if r.TLS != nil {
		scheme = "https://"
	}
	if host == "" { // HTTP/1.0
		host = "localhost"
	}
	return scheme + host
}

// checkStatus answers 202 with the links of an instance (F§3.4).
func (a *api) checkStatus(w http.ResponseWriter, r *http.Request, id string) {
	p := Links{authority(r), a.TaskHub}.Payload(id)
	w.Header().Set("Location", p.StatusQueryGetURI)
	setRetryAfter(w, retryStarted)
	writeJSON(w, http.StatusAccepted, p.appendJSON(make([]byte, 0, 2048)))
}
