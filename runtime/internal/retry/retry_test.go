package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// Each wait is about twice as long as the one before, but at most a minute and a half.
func TestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := retry.NewWaits(time.Second)
		about := time.Second
		for range 10 {
			began := time.Now()
			if err := w.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < about/2 || took > about*3/2 {
				t.Errorf("waited for %v, want about %v", took, about)
			}
			about = min(2*about, time.Minute)
		}
	})
}

// The end of the context ends a wait, with its cause.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		if err := retry.NewWaits(time.Hour).Wait(ctx); !errors.Is(err, enough) {
			t.Errorf("Wait = %v, want %v", err, enough)
		}
	})
}
