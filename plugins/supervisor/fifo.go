package supervisor

// fifo is a queue that reuses its memory: once it is empty it starts over.
type fifo[T any] struct {
	buf  []T
	head int
}

func (q *fifo[T]) len() int   { return len(q.buf) - q.head }
func (q *fifo[T]) items() []T { return q.buf[q.head:] }
func (q *fifo[T]) push(items []T) {
	if q.head > 1024 && q.head > len(q.buf)/2 {
		n := copy(q.buf, q.buf[q.head:])
		clear(q.buf[n:])
		q.buf, q.head = q.buf[:n], 0
	}
	q.buf = append(q.buf, items...)
}

// shift removes the first n items, of which nothing stays referenced.
func (q *fifo[T]) shift(n int) {
	clear(q.buf[q.head : q.head+n])
	q.head += n
	if q.head == len(q.buf) {
		q.buf, q.head = q.buf[:0], 0
	}
}

// filter keeps the items for which keep says so, in their order.
func (q *fifo[T]) filter(keep func(T) bool) {
	kept := q.buf[:q.head]
	for _, v := range q.items() {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	clear(q.buf[len(kept):])
	q.buf = kept
	q.shift(0)
}
