package node

import (
	"context"
	"errors"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// Check says why this machine cannot be a real node; nil if it can.
func Check() error { return errors.New("not there yet") }

func Install(context.Context, func(string, ...any)) error { return nil }

func Networks() (home.Config, error) { return home.Config{}, errors.New("not there yet") }

func Owner() (home.Dir, bool) { return "", false }

func Sweep(context.Context, home.Dir) error { return nil }
func Shim(proc.ID) bool                     { return false }
func Mounts(home.Dir) ([]string, error)     { return nil, nil }
