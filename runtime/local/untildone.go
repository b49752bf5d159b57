package local

import "context"

// An untilDone does something, one caller at a time, until it has succeeded.
type untilDone struct {
	turn chan struct{}
	done bool // guarded by turn
}

func newUntilDone() *untilDone { return &untilDone{turn: make(chan struct{}, 1)} }

// do calls f unless a former call has returned true, and reports whether one has. It returns false if
// ctx is done before it is this caller's turn.
func (u *untilDone) do(ctx context.Context, f func() (done bool)) bool {
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return false
	}
	u.done = u.done || f()
	return u.done
}
