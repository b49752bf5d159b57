// Package proc identifies processes, even if a PID is reused.
package proc

import (
	"context"
	"os"
	"time"
)

// Mark is the environment variable that every process of a cluster has. Its value is the cluster's
// directory. It is inherited, so it identifies remaining processes even if the directory was removed.
const Mark = "PIPE_CLUSTER_DIR"

// ID identifies a process by its PID and its start time, because PIDs are reused.
type ID struct {
	PID int `json:"pid"`
	// Start is in clock ticks since the machine started; 0 if the system does not provide it.
	Start uint64 `json:"start,omitempty"`
}

// Self returns the ID of this process.
func Self() ID { return Of(os.Getpid()) }

// Of returns the ID of the process that currently has the PID.
func Of(pid int) ID { return ID{PID: pid, Start: started(pid)} }

// Alive reports whether the process is running. A zombie, which has ended but has not been waited for,
// is not alive.
func (id ID) Alive() bool {
	if id.PID <= 0 || !exists(id.PID) {
		return false
	}
	return id.Start == 0 || id.Start == started(id.PID)
}

// Wait waits until the process has ended. If the context ends first, it returns the cause.
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

// Stop asks the process to end, and kills it if it has not ended after the grace period. It waits until
// the process has ended. If the context ends first, it returns the cause.
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
