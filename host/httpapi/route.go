package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/durafunc/durafunc/taskhub"
)

// maxSegments is one more than the longest route has below "/", so that a longer
// path does not match by being cut.
const maxSegments = 8

// idempotencyHeader makes a request that changes something harmless to repeat: its value
// is the request id. Reads do not look at it.
const idempotencyHeader = "Idempotency-Key"

// splitPath cuts the path into unescaped segments and returns how many there are;
// -1 if there are too many or an escape is broken. One slash at the end does not
// count. A '+' stays a '+': clients that do not encode ids mean it so.
func splitPath(u *url.URL, segs *[maxSegments]string) int {
	path, escaped := u.Path, false
	if u.RawPath != "" {
		// Only then does the path hold an escape that decoding would confuse with
		// structure, such as %2F.
		path, escaped = u.EscapedPath(), true
	}
	path = strings.TrimPrefix(path, "/")
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return 0
	}
	n := 0
	for seg := range strings.SplitSeq(path, "/") {
		if n == maxSegments {
			return -1
		}
		if escaped {
			s, err := url.PathUnescape(seg)
			if err != nil {
				return -1
			}
			seg = s
		}
		segs[n] = seg
		n++
	}
	return n
}

// serve finds the route. What matches none is 404 with an empty body, whatever
// the verb (F§3.1 W4).
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	var segs [maxSegments]string
	n := splitPath(r.URL, &segs)
	switch {
	case n == 0:
		a.welcome(w, r)
	case n > 3 && is(segs[0], "runtime") && is(segs[1], "webhooks") && is(segs[2], "durabletask"):
		a.serveDurable(w, r, segs[3:n])
	case n > 1 && is(segs[0], "admin") && a.Host != nil:
		a.serveAdmin(w, r, segs[1:n])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func is(segment, literal string) bool { return strings.EqualFold(segment, literal) }

func (a *api) serveDurable(w http.ResponseWriter, r *http.Request, segs []string) {
	q := query(r.URL.RawQuery)
	if !a.admit(w, q) {
		return
	}
	if key := r.Header.Get(idempotencyHeader); key != "" {
		r = r.WithContext(taskhub.WithRequestID(r.Context(), key))
	}
	switch {
	case is(segs[0], "orchestrators") && r.Method == http.MethodPost:
		switch {
		case len(segs) == 2 && segs[1] != "":
			a.start(w, r, q, segs[1], "")
			return
		case len(segs) == 3 && segs[1] != "" && segs[2] != "":
			a.start(w, r, q, segs[1], segs[2])
			return
		}
	case is(segs[0], "instances"):
		if a.serveInstances(w, r, q, segs[1:]) {
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// admit refuses what cannot be served here and now: while the host is not ready,
// and for another hub. Acting on the wrong hub would be worse than refusing.
func (a *api) admit(w http.ResponseWriter, q query) bool {
	if a.Host != nil && !a.Host.Ready() {
		setRetryAfter(w, retryUnavailable)
		writeError(w, http.StatusServiceUnavailable, errorBody{Message: "The function host is not running"})
		return false
	}
	if hub, ok := q.get("taskHub"); ok && hub != "" && a.TaskHub != "" && !strings.EqualFold(hub, a.TaskHub) {
		badArgument(w, "this host serves the task hub "+quoted(a.TaskHub)+", not "+quoted(hub))
		return false
	}
	return true
}

// serveInstances reports whether a route matched; segs come after "instances".
func (a *api) serveInstances(w http.ResponseWriter, r *http.Request, q query, segs []string) bool {
	switch {
	case len(segs) == 0 && r.Method == http.MethodGet:
		a.list(w, r, q)
	case len(segs) == 0 && r.Method == http.MethodDelete:
		a.purgeBy(w, r, q)
	case len(segs) == 0 || segs[0] == "" || !utf8.ValidString(segs[0]):
		return false // no instance has such an id
	case len(segs) == 1 && r.Method == http.MethodGet:
		a.get(w, r, q, segs[0])
	case len(segs) == 1 && r.Method == http.MethodDelete:
		a.purge(w, r, segs[0])
	case r.Method != http.MethodPost:
		return false
	case len(segs) == 3 && is(segs[1], "raiseEvent") && segs[2] != "":
		a.raiseEvent(w, r, segs[0], segs[2])
	case len(segs) != 2:
		return false
	case is(segs[1], "terminate"):
		a.terminate(w, r, q, segs[0])
	case is(segs[1], "suspend"):
		a.suspend(w, r, q, segs[0])
	case is(segs[1], "resume"):
		a.resume(w, r, q, segs[0])
	case is(segs[1], "restart"):
		a.restart(w, r, q, segs[0])
	case is(segs[1], "rewind"):
		writeError(w, http.StatusNotImplemented, errorBody{
			Message:       "Rewind is not there yet",
			ExceptionType: "NotImplemented",
		})
	default:
		return false
	}
	return true
}
