// Embed is a small deployment platform: it serves the pipelines of several
// teams over HTTP, with words of its own in their language and rules of its own
// for their plans. It shows how another program uses pipe's packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pipelinefile/pipe/runtime/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("embed", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "where to listen")
	dir := flags.String("dir", ".", "a folder with a folder for each team, which has its Pipelinefile")
	opts := local.Options{}
	flags.StringVar(&opts.Home, "home", filepath.Join(os.TempDir(), "embed"), "state on this machine")
	flags.StringVar(&opts.Registry, "registry", "", "where images are kept; the embedded registry if empty")
	flags.StringVar(&opts.Kubeconfig, "kubeconfig", "", "of the cluster; the usual one if empty")
	flags.BoolVar(&opts.Local, "local", false, "use the local Kubernetes of pipe")
	flags.StringVar(&opts.Executable, "pipe", "pipe", "the pipe command, which runs the embedded registry and builder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	h, err := newHouse(*dir, opts)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "embed: %s at http://%s\n", strings.Join(h.teams, ", "), listener.Addr())
	// An interrupt ends the runs through their contexts; they finish what they write, and the server waits for them.
	server := &http.Server{Handler: h.handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ended <- server.Shutdown(context.WithoutCancel(ctx))
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// newHouse is the house of the teams that have a folder with a Pipelinefile.
func newHouse(dir string, opts local.Options) (*house, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "Pipelinefile"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no folder in %s has a Pipelinefile", dir)
	}
	h := &house{dir: dir}
	for _, file := range files {
		h.teams = append(h.teams, filepath.Base(filepath.Dir(file)))
	}
	h.open = func(ctx context.Context, dir string) (*local.Runtime, error) {
		mine := opts
		mine.Dir = dir
		return local.Open(ctx, mine)
	}
	return h, nil
}
