// Package daemon is the embedded BuildKit.
//
// It runs in a background process of the same binary, which all pipe processes
// of a user share and which ends when nobody has used it for a time: see
// [Background], and [Main] for the process itself. BuildKit runs containers, so
// it works on Linux alone. Elsewhere builds go to a BuildKit that the user has.
package daemon

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/pipelinefile/pipe/internal/background"
)

// version is that of what callers and the process speak with each other. It
// changes when a caller needs what an older process does not do, and not with
// every release: a process that others build with is not taken away.
const version = "1"

// options say what serveAt serves.
type options struct {
	// Root is the folder of all state, such as the cache. It is made. One
	// process at a time uses it.
	Root string
	// Socket is the unix socket to listen on. Default: one in Root, or in the
	// folder of temporary files where that path would be too long.
	Socket string
	// CacheBytes is what the cache may take on disk before the least used of it
	// is removed. Default: 20 GiB.
	CacheBytes int64
	// Config is a buildkitd.toml whose registries (mirrors, certificates, plain
	// http) hold for builds too; there need not be one. Default: the file that
	// buildkitd itself would read.
	Config string
	// Log takes what BuildKit prints. It logs through logrus, which knows one
	// output per process. Default: left as it is.
	Log io.Writer
	// Ready, if set, is called once with the address, such as unix:///x/y, when
	// builds can be sent there.
	Ready func(addr string) error
	// Note, if set, is told what was damaged, and made good, before Ready is called.
	Note func(text string)
	// Use, if set, is called for each connection, and what it returns at its end.
	Use func() (end func())

	pid int // of the process that others see; 0: this one
}

// A Background names the BuildKit that all pipe processes of one user share.
type Background struct {
	// Home is the folder of pipe's state; BuildKit's is in its folder buildkit. A
	// file buildkitd.toml there is its configuration, whose registries (mirrors,
	// certificates, plain http) hold for builds too.
	Home string
	// Executable is the pipe command. Default: the running program. It must
	// call [Main] with the arguments that follow "daemon buildkit".
	Executable string
	// Idle is how long nobody may use it before it ends. Default: 15 minutes.
	Idle time.Duration
	// Progress, if set, is told what Ensure waits for.
	Progress func(what string)
}

// Usable says what is missing on this machine for the embedded BuildKit, and
// what to do about it.
func Usable() error { return usable() }

// Process returns the background process, to ask where it stands or to stop it.
func (b Background) Process() background.Process {
	args := []string{"daemon", "buildkit", "--home=" + b.Home}
	if b.Idle != 0 {
		args = append(args, "--idle="+b.Idle.String())
	}
	return background.Process{
		Name:       name,
		Dir:        filepath.Join(b.Home, name),
		Executable: b.Executable,
		Args:       args,
		Version:    version,
		Progress:   b.Progress,
	}
}

// name is that of the background process and of its folder.
const name = "buildkit"

// Ensure attaches to the running BuildKit, or starts it (I5). The address is
// one for build.Options. It stays while it is attached to.
//
// What is missing on this machine is an error that says what to install.
func (b Background) Ensure(ctx context.Context) (*background.Attached, error) {
	if status, err := b.Process().Status(); err != nil || status.State != background.Ready {
		if err := usable(); err != nil {
			return nil, err
		}
	}
	return b.Process().Ensure(ctx)
}

// Main is the background process: what the hidden command "pipe daemon buildkit"
// runs, with the arguments that follow. It prints to standard error, which the
// starter has made the log file, and changes the environment of its process.
func Main(ctx context.Context, args []string) error {
	var home string
	var idle time.Duration
	var inside int
	flags := flag.NewFlagSet("pipe daemon buildkit", flag.ContinueOnError)
	flags.StringVar(&home, "home", "", "folder of pipe's state")
	flags.DurationVar(&idle, "idle", 15*time.Minute, "how long nobody may use it before it ends")
	flags.IntVar(&inside, "inside", 0, "process that runs this one as root of a user namespace")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if home == "" || flags.NArg() > 0 {
		return fmt.Errorf("pipe daemon buildkit: want --home DIR and no arguments, got %q", args)
	}
	root := filepath.Join(home, name, "root")
	if inside != 0 {
		return serveInside(ctx, root, inside)
	}
	return background.Serve(ctx, background.Options{
		Name:    name,
		Dir:     filepath.Join(home, name),
		Version: version,
		Idle:    idle,
	}, func(ctx context.Context, ready func(addr string) error, activity *background.Activity) error {
		return serve(ctx, root, args, ready, activity)
	})
}
