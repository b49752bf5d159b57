// Package proc recognises processes, also after a number was given to another one.
package proc

import (
	"context"
	"os"
	"time"
)

// Mark is the environment variable that every process of a cluster carries. Its value is the cluster's folder. It is
// inherited, so it finds what was left behind even when the folder is gone.
const Mark = "PIPE_CLUSTER_DIR"

// ID is a process: its number, and when it started, because numbers are given again.
type ID struct {
	PID int `json:"pid"`
	// Start is in clock ticks since the machine started; 0 where the system does not tell.
	Start uint64 `json:"start,omitempty"`
}

// Self is this process.
func Self() ID { return Of(os.Getpid()) }

// Of is the process that has this number now.
func Of(pid int) ID { return ID{PID: pid, Start: started(pid)} }

// Alive reports whether the process is there. One that has ended and that nobody has asked for (a zombie) is not.
func (id ID) Alive() bool {
	if id.PID <= 0 || !exists(id.PID) {
		return false
	}
	return id.Start == 0 || id.Start == started(id.PID)
}

// Wait returns when the process is gone, or with the context's cause.
func (id ID) Wait(ctx context.Context) error {
	for id.Alive() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// Stop asks the process to end, and kills it if it has not after the grace period. It returns when it is gone, or with
// the context's cause.
func (id ID) Stop(ctx context.Context, grace time.Duration) error {
	if !id.Alive() {
		return nil
	}
	if grace > 0 {
		_ = terminate(id.PID)
	} else {
		_ = kill(id.PID)
	}
	deadline := time.Now().Add(grace)
	for id.Alive() {
		if grace > 0 && time.Now().After(deadline) {
			_ = kill(id.PID)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
