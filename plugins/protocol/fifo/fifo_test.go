package fifo_test

import (
	"testing"

	"github.com/durafunc/durafunc/plugins/protocol/fifo"
)

func TestQueue(t *testing.T) {
	var q fifo.Queue[int]
	next, want := 0, 0
	for round := range 300 {
		batch := make([]int, round%17)
		for i := range batch {
			batch[i] = next
			next++
		}
		q.Push(batch...)
		n := min(q.Len(), round%13)
		for _, v := range q.Items()[:n] {
			if v != want {
				t.Fatalf("got %d, want %d", v, want)
			}
			want++
		}
		q.Shift(n)
	}
	q.Filter(func(v int) bool { return v%2 == 0 })
	for _, v := range q.Items() {
		if v%2 != 0 || v < want {
			t.Fatalf("Filter kept %d", v)
		}
	}
	want, _ = q.Pop()
	if next, _ := q.Pop(); next != want+2 {
		t.Errorf("Pop: %d, then %d", want, next)
	}
	q.Clear()
	if _, ok := q.Pop(); ok || q.Len() != 0 {
		t.Error("not empty after Clear")
	}
}

// A queue that is never empty does not grow with what went through it.
func TestQueueCompacts(t *testing.T) {
	var q fifo.Queue[int]
	q.Push(-1)
	for n := range 100_000 {
		q.Push(n)
		if v, ok := q.Pop(); !ok || v != n-1 {
			t.Fatalf("Pop: %d, %v, want %d", v, ok, n-1)
		}
	}
	if c := cap(q.Items()); c > 10_000 {
		t.Errorf("it holds one item and has room for %d", c)
	}
}
