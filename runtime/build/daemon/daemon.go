// Package daemon implements the embedded BuildKit.
//
// It runs in a background process of the same binary, which all pipe processes of a user
// share and which ends after an idle time: see [Background], and [Main] for the process
// itself. BuildKit runs containers, so it works only on Linux. On other systems, builds use a
// BuildKit that the user provides.
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

// version is the version of the protocol between callers and the process. It changes only
// when a caller needs a feature that an older process does not have, and not with each
// release, because replacing the process would interrupt the builds of others.
const version = "1"

// options configure serveAt.
type options struct {
	// Root is the directory of all state, such as the cache. It is created if necessary. Only
	// one process may use it at a time.
	Root string
	// Socket is the unix socket to listen on. Default: one in Root, or in /tmp if that path
	// would be too long.
	Socket string
	// CacheBytes is the maximum size of the cache on disk. Default: 20 GiB.
	CacheBytes int64
	// Config is a buildkitd.toml whose registries (mirrors, certificates, plain HTTP) apply
	// to builds too. The file may be missing. Default: the file that buildkitd itself would
	// read.
	Config string
	// Registries is a registries.conf, whose registries are read from elsewhere. It is read for
	// each request, so that a change applies without a restart. The file may be missing.
	Registries string
	// Log receives the output of BuildKit, which uses the global logger of logrus. Default:
	// unchanged.
	Log io.Writer
	// Ready, if set, is called once with the address, such as unix:///x/y, when builds are
	// accepted.
	Ready func(addr string) error
	// Note, if set, is called with what was damaged and repaired, before Ready is called.
	Note func(text string)
	// Use, if set, is called for each connection. The function that it returns is called when
	// the connection ends.
	Use func() (end func())

	pid int // of the process that is shown to others; 0: this process
}

// A Background is the BuildKit that all pipe processes of a user share.
type Background struct {
	// Home is the directory of pipe's state. BuildKit's state is in its subdirectory
	// buildkit. A file buildkitd.toml there is its configuration, whose registries (mirrors,
	// certificates, plain HTTP) apply to builds too. The mirrors of registries.conf in Home
	// take precedence.
	Home string
	// Executable is the pipe command. Default: the running program. It must call [Main] with
	// the arguments that follow "daemon buildkit".
	Executable string
	// Idle is the time after which an unused BuildKit ends. Default: 15 minutes.
	Idle time.Duration
	// Progress, if set, receives what Ensure is waiting for.
	Progress func(what string)
}

// Usable returns an error if this machine lacks something that the embedded BuildKit needs.
// The error says what to do.
func Usable() error { return usable() }

// Process returns the background process, to get its status or to stop it.
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

// name is the name of the background process and of its directory.
const name = "buildkit"

// Ensure attaches to the running BuildKit, or starts it (I5). The address can be used in
// build.Options. The process does not end while it is attached to.
//
// If this machine lacks something, the error says what to install.
func (b Background) Ensure(ctx context.Context) (*background.Attached, error) {
	if status, err := b.Process().Status(); err != nil || status.State != background.Ready {
		if err := usable(); err != nil {
			return nil, err
		}
	}
	return b.Process().Ensure(ctx)
}

// Main runs the background process, which the hidden command "pipe daemon buildkit" starts,
// with the arguments that follow. It prints to standard error, which is redirected to the log
// file, and changes the environment of its process.
func Main(ctx context.Context, args []string) error {
	var home string
	var idle time.Duration
	var inside int
	flags := flag.NewFlagSet("pipe daemon buildkit", flag.ContinueOnError)
	flags.StringVar(&home, "home", "", "directory of pipe's state")
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
