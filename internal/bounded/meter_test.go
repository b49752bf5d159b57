package bounded

import (
	"context"
	"errors"
	"testing"

	"go.starlark.net/starlark"
)

func TestChargeAsks(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := NewMeter(ctx, new(starlark.Thread), 1<<40, 1<<20)
	cancel()
	var err error
	for i := 0; i < 2*askSteps && err == nil; i++ {
		err = m.Charge(1)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestLooksAsk checks that an operation that visits many values before it charges ends
// with the context.
func TestLooksAsk(t *testing.T) {
	var shared starlark.Value = starlark.Tuple{starlark.None}
	for range 40 {
		shared = starlark.Tuple{shared, shared}
	}
	wide := starlark.Tuple(make([]starlark.Value, 2*askSteps))
	for i := range wide {
		wide[i] = starlark.None
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := NewMeter(ctx, new(starlark.Thread), 1<<40, 1<<20)
	cancel()
	for name, err := range map[string]error{
		"hash": m.Hash(shared), "walk": m.Walk(shared), "text": m.Text(shared), "comparison": m.Compare(wide, wide),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
