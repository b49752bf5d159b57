//go:build !linux

package supervise

import (
	"context"
	"errors"
	"os"
	"syscall"
)

func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

func attributes() *syscall.SysProcAttr { return nil }

func spawner() func(func() error) error {
	return func(start func() error) error { return start() }
}

func (s *supervisor) real(context.Context) error {
	return errors.New("a real node needs Linux: use --node simulated")
}
