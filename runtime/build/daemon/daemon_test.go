//go:build linux

package daemon

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// The test binary is the pipe command too: it starts itself as the daemon.
	if len(os.Args) > 2 && os.Args[1] == "daemon" && os.Args[2] == "buildkit" {
		if err := Main(context.Background(), os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}
