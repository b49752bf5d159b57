package bounded

import (
	"context"
	"errors"
	"testing"

	"go.starlark.net/starlark"
)

// TestAwait checks that Await returns when the context ends, while the step continues.
func TestAwait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := NewMeter(ctx, new(starlark.Thread), 1<<40, 1<<20)
	finish, finished := make(chan struct{}), make(chan struct{})
	v, err := Await(m, AwaitAlways, func() (int, error) {
		cancel()
		<-finish
		close(finished)
		return 1, nil
	})
	if v != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Await = %d, %v, want %v", v, err, context.Canceled)
	}
	close(finish)
	<-finished

	m = NewMeter(t.Context(), new(starlark.Thread), 1<<40, 1<<20)
	for _, n := range []int{0, AwaitFrom, AwaitAlways} {
		if v, err := Await(m, n, func() (int, error) { return 1, nil }); v != 1 || err != nil {
			t.Errorf("Await of %d bytes = %d, %v", n, v, err)
		}
	}
}
