package runtime

import (
	"context"
	"fmt"
)

// A CancelledError is the cause of the end of a run that somebody cancelled
// from elsewhere (exit status 130, C2).
type CancelledError struct{ By string }

func (e *CancelledError) Error() string { return "cancelled by " + e.By }

// A SupersededError ends a run that waited for an environment, as a newer one
// waits in its place.
type SupersededError struct {
	Key EnvironmentKey
	By  string
}

func (e *SupersededError) Error() string {
	return fmt.Sprintf("environment %s: this run was waiting, and is superseded by that of %s", e.Key.Name, e.By)
}

// Cancel asks the run that holds an environment to end, from any machine, and
// returns who holds it. It returns at once: the run first ends what it writes.
// If no run holds the environment, the error is ErrNotFound.
func (r *Runtime) Cancel(ctx context.Context, key EnvironmentKey, by string) (holder string, err error) {
	return r.Locker.Cancel(ctx, key, by)
}
