// The command pipe-sigstore signs images without a key, and verifies such signatures, for pipe.
//
// It is a program of its own because the libraries of Sigstore are half as large as pipe. It reads one request
// from its standard input, writes one response to its standard output, and ends; see [request].
package main

import (
	"context"
	"os"

	"github.com/sigstore/sigstore-go/pkg/tuf"
)

func main() {
	a := app{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		repository: repository{url: tuf.DefaultMirror, root: tuf.DefaultRoot()},
	}
	// Some libraries print messages. They must not get into the response.
	os.Stdout = os.Stderr
	os.Exit(a.run(context.Background()))
}
