// Command images makes the base images of the examples where no public registry can be reached, and serves them.
//
// PostgreSQL and Redis come from this system's own packages (Debian or Ubuntu, whatever apt finds), the Go toolchain is
// the one that runs here. The images take the same environment, paths and arguments as the official ones, so that a
// Pipelinefile or Dockerfile works with either.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const usage = `usage: images up   [-dir D] [-from auto|local|public]   make what is missing, serve it, print where
       images down [-dir D]                            end the registry; what was made is kept
       images make [-dir D]                            make what is missing
       images try  [-dir D] COMMAND [ARGUMENT...]      run a command beside a PostgreSQL and a Redis of the images (as root)

The folder D is by default $PIPE_HOME/demo/images. "up" prints one NAME=VALUE a line, parameters for examples/shop; nothing
where the public images can be reached, since those are its defaults. "try" tells the command where they are in PIPE_TEST_POSTGRES and PIPE_TEST_REDIS.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var tried *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stdout, usage)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "%v\n%s", err, usage)
		os.Exit(64)
	case errors.As(err, &tried):
		os.Exit(max(1, tried.ExitCode())) // the command said what is wrong
	default:
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	verb := args[0]
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("dir", "", "")
	from := flags.String("from", "auto", "")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 && verb != "try" {
		return fmt.Errorf("%w: %q is not expected", errUsage, flags.Arg(0))
	}
	if *dir == "" {
		var err error
		if *dir, err = defaultDir(); err != nil {
			return err
		}
	}
	store := Store(*dir)
	switch verb {
	case "up":
		switch *from {
		case "auto":
			// Once made here they stay in use: a line that comes and goes must not exchange what everything is built on.
			known, err := store.registry()
			if err != nil {
				return err
			}
			if known.Address == "" && publicImages(ctx) {
				fmt.Fprintln(stderr, "using the public images of docker.io")
				return nil
			}
			if known.Address == "" {
				fmt.Fprintln(stderr, "docker.io cannot be reached: base images are made from this system's packages")
			}
		case "public":
			return nil
		case "local":
		default:
			return fmt.Errorf("%w: -from %s: it is auto, local or public", errUsage, *from)
		}
		made, err := Make(ctx, store, stderr)
		if err != nil {
			return err
		}
		address, err := up(ctx, store)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "images=%s\n", address)
		for _, m := range made {
			if name, tag, _ := strings.Cut(m, ":"); name != "debian" {
				fmt.Fprintf(stdout, "%s=%s\n", name, tag)
			}
		}
		return nil
	case "make":
		_, err := Make(ctx, store, stderr)
		return err
	case "try":
		if flags.NArg() == 0 {
			return fmt.Errorf("%w: try what?", errUsage)
		}
		return try(ctx, store, flags.Args(), stdout, stderr)
	case "down":
		return down(ctx, store, stderr)
	case "serve": // what "up" starts, in the background
		return serveInherited(ctx, store)
	}
	return fmt.Errorf("%w: %q is none of up, down, make, try", errUsage, verb)
}

// defaultDir is below the folder where pipe keeps its state, so that removing that removes the images too.
func defaultDir() (string, error) {
	home := os.Getenv("PIPE_HOME")
	if home == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if state == "" {
			h, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			state = filepath.Join(h, ".local", "state")
		}
		home = filepath.Join(state, "pipe")
	}
	return filepath.Abs(filepath.Join(home, "demo", "images"))
}
