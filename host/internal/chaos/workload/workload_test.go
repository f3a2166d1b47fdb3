package workload

import (
	"encoding/json"
	"testing"
)

func TestWant(t *testing.T) {
	if got := (Sum{N: 4}).Want(); got != 0+1+4+9 {
		t.Errorf("sum of 4 squares: %d", got)
	}
	all := Tree{Path: "t", Depth: 2, Width: 3}.Want()
	want := TreeSum{Leaves: 9}
	for a := range 3 {
		for b := range 3 {
			want.Sum += Value("t." + string(rune('0'+a)) + "." + string(rune('0'+b)))
		}
	}
	if all != want {
		t.Errorf("tree: %+v, want %+v", all, want)
	}
	if got := (Tree{Path: "t", Depth: 1, Width: 3, Fail: 1}).Want(); got != (TreeSum{Leaves: 3, Failed: 3}) {
		t.Errorf("tree whose leaves all fail: %+v", got)
	}
}

func TestCounterCompletes(t *testing.T) {
	tests := []struct {
		name string
		c    Counter
		want bool
	}{
		{"without the last word", Counter{Seen: []string{"a"}}, false},
		{"one is missing", Counter{Seen: []string{"a"}, Must: []string{"a", "b"}, Closed: true}, false},
		{"all are there", Counter{Seen: []string{"b", "a", "c"}, Must: []string{"a", "b"}, Closed: true}, true},
		{"nothing is asked for", Counter{Closed: true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.c.Complete(); got != tt.want {
				t.Errorf("complete: %v, want %v", got, tt.want)
			}
		})
	}
}

// The last word must be told from a message, also when it asks for nothing.
func TestLastWordSurvivesJSON(t *testing.T) {
	for _, m := range []Msg{{ID: "a"}, {Must: []string{}}, {Must: []string{"a"}}} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back Msg
		if err := json.Unmarshal(b, &back); err != nil || (back.Must == nil) != (m.Must == nil) {
			t.Errorf("%s becomes %+v, %v", b, back, err)
		}
	}
}

func TestShowTellsOrdersApart(t *testing.T) {
	a, b := Show([]string{"x", "y"}), Show([]string{"y", "x"})
	if a.Count != 2 || a.Digest == b.Digest || a != Show([]string{"x", "y"}) {
		t.Errorf("%+v and %+v", a, b)
	}
}
