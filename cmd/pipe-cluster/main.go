// The command pipe-cluster is the local Kubernetes of pipe.
package main

import (
	"os"
)

func main() {
	a := app{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv}
	os.Exit(a.run())
}
