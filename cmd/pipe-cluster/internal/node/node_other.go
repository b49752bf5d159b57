//go:build !linux

package node

import (
	"context"
	"errors"
	"runtime"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

var errNoLinux = errors.New("a real node needs Linux, and this is " + runtime.GOOS)

// Check says why this machine cannot be a real node.
func Check() error { return errNoLinux }

// Install cannot make it one.
func Install(context.Context, func(string, ...any)) error { return errNoLinux }

// Networks cannot choose any.
func Networks() (home.Config, error) { return home.Config{}, errNoLinux }

// Config is of no cluster.
func Config(string) (home.Config, bool) { return home.Config{}, false }

// Owner is nobody.
func Owner() (home.Dir, bool) { return "", false }

// Claim fails.
func Claim(home.Dir) error { return errNoLinux }

// Sweep has nothing to sweep.
func Sweep(context.Context, home.Dir) error { return nil }

// Shim is true of no process.
func Shim(proc.ID) bool { return false }

// Mounts finds none.
func Mounts(home.Dir) ([]string, error) { return nil, nil }
