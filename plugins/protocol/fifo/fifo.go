// Package fifo is the queue of work items that both ends of a Work stream use, and whoever
// feeds one. It is here because it is the one place that all of them may import.
package fifo

// Queue is a first-in-first-out queue that reuses its memory. Its zero value is empty.
type Queue[T any] struct {
	buf  []T
	head int // what is before it is taken
}

// compactAt is how many taken places are worth the moving of the others.
const compactAt = 1024

// Len is how many items wait.
func (q *Queue[T]) Len() int { return len(q.buf) - q.head }

// Items are those that wait, oldest first. They are the queue's own, until it changes.
func (q *Queue[T]) Items() []T { return q.buf[q.head:] }

// Push appends items.
func (q *Queue[T]) Push(items ...T) {
	if q.head > compactAt && q.head > len(q.buf)/2 {
		n := copy(q.buf, q.buf[q.head:])
		clear(q.buf[n:])
		q.buf, q.head = q.buf[:n], 0
	}
	q.buf = append(q.buf, items...)
}

// Pop takes the oldest item; false: there is none.
func (q *Queue[T]) Pop() (item T, ok bool) {
	if q.Len() == 0 {
		return item, false
	}
	item = q.buf[q.head]
	q.Shift(1)
	return item, true
}

// Shift drops the n oldest items, of which nothing stays referenced.
func (q *Queue[T]) Shift(n int) {
	clear(q.buf[q.head : q.head+n])
	q.head += n
	if q.head == len(q.buf) {
		q.buf, q.head = q.buf[:0], 0
	}
}

// Clear drops everything.
func (q *Queue[T]) Clear() { q.Shift(q.Len()) }

// Filter keeps the items for which keep says so, in their order.
func (q *Queue[T]) Filter(keep func(T) bool) {
	kept := q.buf[:q.head]
	for _, v := range q.Items() {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	clear(q.buf[len(kept):])
	q.buf = kept
	q.Shift(0)
}
