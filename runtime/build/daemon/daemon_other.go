//go:build !linux

package daemon

import (
	"context"
	"errors"

	"github.com/pipelinefile/pipe/internal/background"
)

var errLinux = errors.New("the embedded BuildKit runs on Linux only: give the address of one that you have; " +
	"with Docker, start one with 'docker run -d --name buildkitd --privileged moby/buildkit', whose address is docker-container://buildkitd")

func usable() error { return errLinux }

func serveInside(context.Context, string, int) error { return errLinux }

func serve(context.Context, string, []string, func(addr string) error, *background.Activity) error {
	return errLinux
}
