package ui

// A backlog keeps the last of what somebody prints, at most so many lines and so many
// bytes.
type backlog[T any] struct {
	lines, bytes int
	values       []T
	sizes        []int // bytes of each value
	size         int   // of all
	first        int   // the oldest; what is before it was dropped
}

// add adds a line of that many bytes, and drops those that there is no room for.
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

// count is how many lines there are.
func (b *backlog[T]) count() int { return len(b.values) - b.first }

// last returns the last n lines, or all if there are fewer.
func (b *backlog[T]) last(n int) []T {
	return append([]T(nil), b.values[max(b.first, len(b.values)-max(0, n)):]...)
}
