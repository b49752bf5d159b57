// Command pipe builds and deploys what a Pipelinefile declares.
package main

import (
	"os"

	_ "github.com/pipelinefile/pipe/internal/ballast"
)

// Set by the linker; see the Makefile.
var version, commit string

func main() {
	a := process()
	os.Exit(a.main())
}
