// The command pipe-secrets fetches the values of secrets from managers of secrets, for pipe.
//
// It is a program of its own because the clients of the managers are larger than pipe. It reads one request
// from its standard input, writes one response to its standard output, and ends; see [request].
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := app{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), managers: managers()}
	// Some clients print messages. They must not get into the response.
	os.Stdout = os.Stderr
	status := a.run(ctx)
	stop()
	os.Exit(status)
}
