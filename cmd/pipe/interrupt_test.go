package main

import (
	"bytes"
	"context"
	"os"
	"testing"
)

// TestInterruptOfALook: a read-only verb has nothing to finish, and does not say that it
// finishes something.
func TestInterruptOfALook(t *testing.T) {
	signals := make(chan os.Signal, 1)
	var said bytes.Buffer
	a := &app{stderr: &said, signals: signals}
	ctx, stop := a.interruptible(context.Background())
	signals <- os.Interrupt
	<-ctx.Done()
	stop()
	if context.Cause(ctx).Error() != "interrupted" || said.Len() > 0 {
		t.Errorf("cause %v, said %q; want interrupted, and nothing said", context.Cause(ctx), &said)
	}
}
