package httpapi

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// query is a raw query string. Names are compared without letter case; a value
// that cannot be read counts as absent (F§3.1 W5, W6).
type query string

// each yields the unescaped values of name.
func (q query) each(name string, yield func(string) bool) {
	for rest := string(q); rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(rawKey)
		if err != nil || !strings.EqualFold(key, name) {
			continue
		}
		if value, err := url.QueryUnescape(rawValue); err == nil && !yield(value) {
			return
		}
	}
}

// get returns the first value of name.
func (q query) get(name string) (value string, ok bool) {
	q.each(name, func(v string) bool {
		value, ok = v, true
		return false
	})
	return value, ok
}

// text is get for free text that goes into the task hub.
func (q query) text(name string) string {
	v, _ := q.get(name)
	return strings.ToValidUTF8(v, "\uFFFD")
}

func (q query) boolean(name string, def bool) bool {
	v, _ := q.get(name)
	switch {
	case strings.EqualFold(v, "true"):
		return true
	case strings.EqualFold(v, "false"):
		return false
	}
	return def
}

func (q query) integer(name string, def int) int {
	v, _ := q.get(name)
	if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
		return n
	}
	return def
}

// maxSeconds bounds waits: more than a proxy will hold a connection anyway, and
// far from overflowing a Duration.
const maxSeconds = 3600

// seconds reads a number of seconds, decimals allowed.
func (q query) seconds(name string) (time.Duration, bool) {
	v, ok := q.get(name)
	if !ok {
		return 0, false
	}
	s, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(s) || s < 0 {
		return 0, false
	}
	return time.Duration(min(s, maxSeconds) * float64(time.Second)), true
}

// dateLayouts are tried in turn; without a zone a date is UTC (F§3.1 W8).
var dateLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02",
	time.RFC1123, time.RFC1123Z, "01/02/2006 15:04:05", "1/2/2006 3:04:05 PM", "01/02/2006",
}

func (q query) date(name string) (time.Time, bool) {
	v, _ := q.get(name)
	v = strings.TrimSpace(v)
	if v == "" || len(v) > 64 {
		return time.Time{}, false
	}
	if t, ok := parseDate(v); ok {
		return t, true
	}
	// A "+02:00" that the client did not encode arrives as " 02:00".
	if i := strings.LastIndexByte(v, ' '); i > 0 {
		return parseDate(v[:i] + "+" + v[i+1:])
	}
	return time.Time{}, false
}

func parseDate(v string) (time.Time, bool) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, v); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// statuses reads a list filter: names in their exact case, or numbers, repeated or
// separated by commas. Unknown ones are dropped (F§3.1 W9).
func (q query) statuses(name string) []taskhub.Status {
	var found []taskhub.Status
	q.each(name, func(list string) bool {
		for word := range strings.SplitSeq(list, ",") {
			word = strings.TrimSpace(word)
			s, ok := history.StatusByName(word)
			if n, err := strconv.Atoi(word); !ok && err == nil && n >= 0 && n <= int(history.Suspended) {
				s, ok = taskhub.Status(n), true
			}
			if ok {
				found = append(found, s)
			}
		}
		return true
	})
	return found
}
