package hostjson

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New(`must be a duration such as "00:00:15" (hh:mm:ss), "1.12:00:00" (d.hh:mm:ss) or "15s"`)

// parseDuration reads hh:mm:ss[.fraction] with an optional "d." in front (F§5.1),
// and also Go's own form, since that is how durations are printed. A bare number
// is refused: .NET reads "5" as five days, which hardly anyone means.
func parseDuration(text string) (time.Duration, error) {
	if !strings.Contains(text, ":") {
		d, err := time.ParseDuration(text)
		if err != nil || text == "0" {
			return 0, errDuration
		}
		return d, nil
	}
	rest, negative := strings.CutPrefix(text, "-")
	parts := strings.Split(rest, ":")
	if len(parts) != 3 {
		return 0, errDuration
	}
	days, hours := "0", parts[0]
	if d, h, ok := strings.Cut(parts[0], "."); ok {
		days, hours = d, h
	}
	seconds, fraction, hasFraction := strings.Cut(parts[2], ".")
	var total time.Duration
	for _, f := range []struct {
		text string
		unit time.Duration
		max  int
	}{{days, 24 * time.Hour, 100_000}, {hours, time.Hour, 23}, {parts[1], time.Minute, 59}, {seconds, time.Second, 59}} {
		n, ok := digits(f.text, f.max)
		if !ok {
			return 0, errDuration
		}
		total += time.Duration(n) * f.unit
	}
	if hasFraction {
		n, ok := digits(fraction, math.MaxInt32)
		if !ok || len(fraction) > 9 {
			return 0, errDuration
		}
		for range 9 - len(fraction) {
			n *= 10
		}
		total += time.Duration(n)
	}
	if negative {
		total = -total
	}
	return total, nil
}

// digits reads a number of 1 to 9 digits without a sign.
func digits(s string, most int) (int, bool) {
	if s == "" || len(s) > 9 || strings.ContainsAny(s, "+-") {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= most
}
