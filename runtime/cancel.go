package runtime

import (
	"context"
	"fmt"
)

// A CancelledError is the cause of a run that ended because another process
// cancelled it (exit status 130, C2).
type CancelledError struct{ By string }

func (e *CancelledError) Error() string { return "cancelled by " + e.By }

// A SupersededError ends a run that was waiting for an environment because a newer
// run has superseded it.
type SupersededError struct {
	Key EnvironmentKey
	By  string
}

func (e *SupersededError) Error() string {
	return fmt.Sprintf("environment %s: this run was waiting, and was superseded by a run of %s", e.Key.Name, e.By)
}

// Cancel asks the run that holds an environment to end, from any machine, and
// returns the holder. It returns immediately: the run first finishes its writes.
// If no run holds the environment, the error is ErrNotFound.
func (e Environments) Cancel(ctx context.Context, key EnvironmentKey, by string) (holder string, err error) {
	return e.Locker.Cancel(ctx, key, by)
}
