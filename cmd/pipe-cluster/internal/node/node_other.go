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

// Check returns an error, as only Linux can be a real node.
func Check() error { return errNoLinux }

// Install fails.
func Install(context.Context, func(string, ...any)) error { return errNoLinux }

// Networks fails.
func Networks() (home.Config, error) { return home.Config{}, errNoLinux }

// Config returns false.
func Config(string) (home.Config, bool) { return home.Config{}, false }

// Owner returns false.
func Owner() (home.Dir, bool) { return "", false }

// Claim fails.
func Claim(home.Dir) error { return errNoLinux }

// Sweep does nothing.
func Sweep(context.Context, home.Dir) error { return nil }

// Shim returns false.
func Shim(proc.ID) bool { return false }

// Mounts returns nil.
func Mounts(home.Dir) ([]string, error) { return nil, nil }
