package ui

import (
	"fmt"
	"slices"
	"testing"
)

func TestBacklog(t *testing.T) {
	b := backlog[int]{lines: 100, bytes: 1000}
	for i := range 10_000 {
		b.add(i, 1)
		if b.count() != min(i+1, 100) || len(b.values) > 201 {
			t.Fatalf("after %d: %d lines, room for %d", i+1, b.count(), len(b.values))
		}
	}
	if got := b.last(3); !slices.Equal(got, []int{9997, 9998, 9999}) {
		t.Errorf("the last lines are %d", got)
	}
	if got := b.last(1000); len(got) != 100 || got[0] != 9900 {
		t.Errorf("%d lines, from %d", len(got), got[0])
	}
	b.add(1, 950)
	if b.count() != 51 || b.size != 1000 {
		t.Errorf("after a long line: %d lines of %d bytes", b.count(), b.size)
	}
	b.add(2, 5000) // larger than the limit: it is kept alone
	if got := fmt.Sprint(b.last(9), b.last(0), b.size); got != "[2] [] 5000" {
		t.Errorf("after a line that is too long: %s", got)
	}
}
