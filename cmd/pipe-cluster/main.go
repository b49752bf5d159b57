// The command pipe-cluster is the local Kubernetes of pipe.
package main

import (
	"os"
)

func main() {
	a := app{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, environ: os.Environ()}
	os.Exit(a.run())
}
