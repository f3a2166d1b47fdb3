package history_test

import (
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
)

// check runs one checker over names; want is what the error says, "" is none.
func check(t *testing.T, f func(string) error, tests []struct{ name, want string }) {
	t.Helper()
	for _, tt := range tests {
		got := ""
		if err := f(tt.name); err != nil {
			got = err.Error()
		}
		if got == tt.want || tt.want != "" && strings.Contains(got, tt.want) {
			continue
		}
		t.Errorf("%.20q: got %q, want %q", tt.name, got, tt.want)
	}
}

func TestCheckInstanceID(t *testing.T) {
	const contains, long = "must not contain", "must not be longer than 256 characters"
	check(t, history.CheckInstanceID, []struct{ name, want string }{
		{"a", ""}, {"a b.c:d_e@f", ""}, {"Ünï-日本", ""}, {"..", ""},
		{strings.Repeat("x", 256), ""}, {strings.Repeat("ü", 200), ""}, {strings.Repeat("日", 256), ""},
		{strings.Repeat("x", 257), long}, {strings.Repeat("ü", 257), long},
		{"", "must not be empty"}, {"@a", "must not begin with '@'"}, {"\xff\xfe", "must be UTF-8"},
		{"a/b", contains}, {`a\b`, contains}, {"a#b", contains}, {"a?b", contains},
		{"a\nb", contains}, {"a\x00", contains}, {"\x7f", contains}, {"a\u0085", contains},
	})
}

func TestCheckFunctionName(t *testing.T) {
	const rule = "a name is a letter"
	check(t, history.CheckFunctionName, []struct{ name, want string }{
		{"A", ""}, {"a-1_B", ""}, {strings.Repeat("x", 128), ""}, {"Hostess", ""}, {"BuiltIn", ""},
		{strings.Repeat("x", 129), rule}, {"", rule}, {"1x", rule}, {"_x", rule}, {"a b", rule}, {"ü", rule}, {"@x", rule}, {"a\n", rule},
		{"HOST", "this name is reserved"}, {"builtin__x", "begin with BuiltIn__ are reserved"},
	})
}

func TestCheckOrchestratorName(t *testing.T) {
	check(t, history.CheckOrchestratorName, []struct{ name, want string }{
		{"A", ""}, {"any text / at all", ""}, {"host", ""}, {strings.Repeat("ü", 256), ""},
		{strings.Repeat("x", 257), "must not be longer"}, {"", "must not be empty"}, {"\xff", "must be UTF-8"},
		{"@x", "must not begin with '@'"}, {"builtin::x", "begin with BuiltIn:: are reserved"}, {"BUILTIN__x", "begin with BuiltIn__ are reserved"},
	})
}
