// Package git runs the program git, always in the same way: it asks nobody
// anything, runs no hook, uses no transport but those that the caller allows,
// and takes nothing from a repository whose hook may have started this process.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// ErrMissing says that there is no program git.
var ErrMissing = errors.New("the program git is not installed: install it")

// Options say how git is run.
type Options struct {
	Dir        string    // the working directory; default that of this process
	Transports []string  // those that git may use, such as "https" and "ssh"; default none
	Stdin      io.Reader // default nothing
}

// safe are settings that hold whatever a user's or a repository's settings say:
// no program runs because a repository or its working tree changes, and nothing
// goes on in the background.
var safe = []string{
	"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "fetch.recurseSubmodules=false",
	"-c", "gc.auto=0", "-c", "maintenance.auto=false",
}

// mostOutput bounds what a command may print, in bytes: a server decides how many
// branches it lists.
const mostOutput = 256 << 20

// Run runs git with arguments of which the first is the command, and returns what
// it printed. The user's own settings hold, so that credential helpers and
// url.….insteadOf do. Cancellation kills git with all that it has started, and
// returns the cause. An error holds what git says is wrong, see [Complaint].
func Run(ctx context.Context, o Options, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append(safe[:len(safe):len(safe)], args...)...)
	whole(cmd)
	cmd.Dir = o.Dir
	cmd.WaitDelay = time.Second
	cmd.Stdin = o.Stdin
	cmd.Env = environ(cmd.Environ(), o.Transports)
	out, stderr := &output{left: mostOutput}, &output{left: mostOutput}
	cmd.Stdout, cmd.Stderr = out, stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return out.Bytes(), nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, ErrMissing
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.full || stderr.full:
		return nil, fmt.Errorf("git %s: it prints more than %d MiB", args[0], mostOutput>>20)
	}
	return nil, fmt.Errorf("git %s: %s", args[0], Complaint(stderr.String(), err))
}

// passed are the variables of git that are the user's settings, and begin like
// this. All others are about one repository, as a hook of it gets them, or change
// what git prints.
var passed = []string{
	"GIT_CONFIG_", "GIT_SSH", "GIT_SSL_", "GIT_PROXY_", "GIT_HTTP_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
}

// environ returns the environment of git.
func environ(ours, transports []string) []string {
	var env []string
	for _, kv := range ours {
		if !strings.HasPrefix(kv, "GIT_") || begins(kv, passed) {
			env = append(env, kv)
		}
	}
	return append(env, "GIT_ALLOW_PROTOCOL="+strings.Join(transports, ":"), "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never",
		"GIT_ASKPASS=", "SSH_ASKPASS=false", "SSH_ASKPASS_REQUIRE=force", "LC_ALL=C")
}

func begins(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// An output keeps what a command prints, up to a bound.
type output struct {
	bytes.Buffer
	left int
	full bool // more was printed than is kept
}

// Write refuses what is over the bound, which ends the command.
func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.left {
		o.full = true
		return 0, io.ErrShortWrite
	}
	o.left -= len(p)
	return o.Buffer.Write(p)
}
