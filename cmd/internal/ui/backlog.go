package ui

// A backlog keeps the newest output, up to a number of lines and a number of bytes.
type backlog[T any] struct {
	lines, bytes int
	values       []T
	sizes        []int // bytes of each value
	size         int   // of all values
	first        int   // index of the oldest; those before it were dropped
}

// add adds a line of that many bytes, and drops the oldest lines if there is no room for
// them.
func (b *backlog[T]) add(v T, size int) {
	b.values, b.sizes, b.size = append(b.values, v), append(b.sizes, size), b.size+size
	for b.count() > 1 && (b.count() > b.lines || b.size > b.bytes) {
		var none T
		b.size -= b.sizes[b.first]
		b.values[b.first] = none // for the garbage collector
		b.first++
	}
	if b.first > len(b.values)/2 {
		n := copy(b.values, b.values[b.first:])
		copy(b.sizes, b.sizes[b.first:])
		clear(b.values[n:])
		b.values, b.sizes, b.first = b.values[:n], b.sizes[:n], 0
	}
}

// count returns the number of lines.
func (b *backlog[T]) count() int { return len(b.values) - b.first }

// last returns the last n lines, or all if there are fewer.
func (b *backlog[T]) last(n int) []T {
	return append([]T(nil), b.values[max(b.first, len(b.values)-max(0, n)):]...)
}
