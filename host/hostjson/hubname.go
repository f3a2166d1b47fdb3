package hostjson

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHubName is a task hub name that breaks the rule of F§10.1.
var ErrHubName = errors.New("a task hub name has 3 to 45 letters and digits and begins with a letter")

// CheckHubName returns ErrHubName, wrapped with the name, if it breaks the rule.
func CheckHubName(name string) error {
	ok := len(name) >= 3 && len(name) <= 45
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && (!digit || i == 0) {
			ok = false
		}
	}
	if !ok {
		return fmt.Errorf("%q: %w", name, ErrHubName)
	}
	return nil
}

// substitute replaces a whole %NAME% by the application setting NAME, which is an
// environment variable; letter case counts only if two differ in nothing else.
func substitute(text string, env []string) (string, error) {
	if len(text) < 3 || text[0] != '%' || text[len(text)-1] != '%' {
		return text, nil
	}
	name := text[1 : len(text)-1]
	found, similar := false, ""
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if k == name {
			return v, nil
		}
		if strings.EqualFold(k, name) && !found {
			found, similar = true, v
		}
	}
	if !found {
		return "", fmt.Errorf("the application setting %q of %q is not set", name, text)
	}
	return similar, nil
}
