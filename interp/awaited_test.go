package interp

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// An ending is a context that, once armed, ends as soon as a caller waits for it.
type ending struct {
	context.Context
	armed, awaited atomic.Bool
}

func (c *ending) Done() <-chan struct{} {
	if !c.armed.Load() {
		return nil
	}
	c.awaited.Store(true)
	done := make(chan struct{})
	close(done)
	return done
}

func (c *ending) Err() error {
	if c.awaited.Load() {
		return context.Canceled
	}
	return nil
}

// TestCancelStep checks that the evaluation waits for a single long step and for the
// context at the same time (L4). internal/bounded tests that the wait ends with the
// context.
func TestCancelStep(t *testing.T) {
	for _, test := range []struct{ before, step string }{
		{`x = "x " * 4000000`, `x.split()`},
		{`x = b"\xff" * 10000000`, `str(x)`},
		{`x = b"\xff" * 10000000`, `repr(x)`},
		{`x = "x" * 60000000`, `x[::-1]`},
		{`x = "x" * 20000000`, `x.replace("x", "y")`},
		{`x = [1] * 1000000`, `zip(x, x)`},
	} {
		dir := t.TempDir()
		src := "pipeline('p')\n" + test.before + "\nprint('armed')\ny = " + test.step + "\n"
		if err := os.WriteFile(filepath.Join(dir, "Pipelinefile"), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		// The step may finish before the context is awaited, if this goroutine does not
		// run meanwhile.
		for range 100 {
			ctx := &ending{Context: t.Context()}
			e := newEvaluation(ctx, root, "Pipelinefile", Options{Print: func(plan.Pos, string) { ctx.armed.Store(true) }, Limits: Limits{Steps: 1 << 60}})
			if err = e.safely(e.execute); err != nil {
				break
			}
			if !ctx.awaited.Load() {
				break
			}
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want %v", test.step, err, context.Canceled)
		}
	}
}
