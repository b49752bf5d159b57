// The command pipe-sbom makes the SBOM of an image that BuildKit builds, for pipe.
//
// BuildKit runs it in a container of its own, as its protocol for scanners says: the environment names the
// directories with the files of the image, and the directory that the documents are written to; see [app]. It is a
// program of its own because it runs inside of builders, on Linux.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: addressSpace, Max: addressSpace}) // it may be limited already
	stop := guard(os.Stderr, timeLimit, memoryLimit, os.Exit)
	a := app{getenv: os.Getenv, stdout: os.Stdout}
	err := a.run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
