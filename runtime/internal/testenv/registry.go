package testenv

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// Registry returns the address of the embedded registry, such as
// "127.0.0.1:41234". All tests of this process share it, so each must use its own
// names. It ends with the process.
func Registry(t testing.TB) string {
	t.Helper()
	addr, err := registry()
	if err != nil {
		missing(t, "registry", err)
	}
	return addr
}

var registry = sync.OnceValues(func() (string, error) {
	dir, err := folder("pr")
	if err != nil {
		return "", err
	}
	if err := afterUs(`rm -rf "$0"`, dir); err != nil {
		return "", err
	}
	sweep("pr", func(string) {})
	logrus.SetOutput(io.Discard) // the registry's library logs each request
	s, err := serve.Start(context.Background(), serve.Options{Dir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		return "", err
	}
	return s.Addr, nil
})
