package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/render"
)

// Main runs the tests of a package that uses [BuildKit] or renders charts in
// workers: call it from TestMain. The test binary then also acts as the pipe command,
// and starts itself as BuildKit or as a worker.
// After the tests, Main calls ends. It does not return.
func Main(m *testing.M, ends ...func()) {
	if len(os.Args) > 2 && os.Args[1] == "daemon" && os.Args[2] == "buildkit" {
		if err := daemon.Main(context.Background(), os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if slices.Equal(os.Args[1:], render.Args()) {
		if err := render.Main(os.Stdin, os.Stdout, os.Exit); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	isMain = true
	code := m.Run()
	for _, end := range ends {
		end()
	}
	os.Exit(code)
}

// isMain reports whether Main runs the tests, so that the test binary may be started
// as BuildKit: otherwise it would run all tests again.
var isMain bool

// BuildKit returns the address of the embedded BuildKit. All tests of
// this process share it; it has its own cache, and ends with the process.
func BuildKit(t testing.TB) string {
	t.Helper()
	if !isMain {
		t.Fatal("testenv.BuildKit needs testenv.Main: func TestMain(m *testing.M) { testenv.Main(m) }")
	}
	a, err := buildkit()
	if err != nil {
		missing(t, "buildkit", err)
	}
	return a.Addr
}

var buildkit = sync.OnceValues(func() (*background.Attached, error) {
	home, err := folder("pb") // short: it holds a unix socket
	if err != nil {
		return nil, err
	}
	sweep("pb", func(string) {})
	a, err := daemon.Background{Home: home}.Ensure(context.Background())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	// It keeps running while this process is attached, so its PID is not reused yet.
	end := `kill $1; while kill -0 $1 2>/dev/null; do sleep 0.1; done; rm -rf "$0"`
	return a, afterUs(end, home, strconv.Itoa(a.PID))
})
