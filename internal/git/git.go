// Package git runs the program git, always in the same way: git never prompts the user,
// runs no hooks, uses only the transports that the caller allows, and ignores the
// repository whose hook may have started this process.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pipelinefile/pipe/internal/procgroup"
)

// ErrMissing is the error if the program git is not found.
var ErrMissing = errors.New("the program git is not installed: install it")

// Options configure how git is run.
type Options struct {
	Dir        string    // working directory; default: that of this process
	Transports []string  // that git may use, such as "https" and "ssh"; default: none
	Settings   []string  // of git, as NAME=VALUE, which override those of the user
	Stdin      io.Reader // default: empty
}

// ForSources returns the options for what git() names: they allow the transports of its URL,
// of its submodules, and of the URLs to which the user's git configuration rewrites them.
func ForSources() Options {
	return Options{Transports: []string{"file", "git", "http", "https", "ssh"}}
}

// safe are settings that override those of the user and the repository: git does not run
// programs when a repository or its working tree changes, and does not work in the
// background.
var safe = []string{
	"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "fetch.recurseSubmodules=false",
	"-c", "gc.auto=0", "-c", "maintenance.auto=false",
}

// maxOutput limits the output of a command, in bytes: the server decides how many
// branches are listed.
const maxOutput = 256 << 20

// Run runs git with args, whose first element is the command, and returns its standard
// output. The user's settings apply, including credential helpers and url.….insteadOf. If
// ctx is done, Run kills git with all processes that it has started, such as the one that
// transfers files, and returns the cause; they also end if this process is killed. An error
// contains the message of git, see [Complaint]; it is [syscall.ENOSPC] if the disk is full.
func Run(ctx context.Context, o Options, args ...string) ([]byte, error) {
	all := slices.Clone(safe)
	for _, s := range o.Settings {
		all = append(all, "-c", s)
	}
	cmd := exec.CommandContext(ctx, "git", append(all, args...)...)
	cmd.Dir = o.Dir
	cmd.WaitDelay = time.Second
	cmd.Stdin = o.Stdin
	cmd.Env = environ(cmd.Environ(), o.Transports)
	out, stderr := &output{left: maxOutput}, &output{left: maxOutput}
	cmd.Stdout, cmd.Stderr = out, stderr
	err := run(cmd)
	switch {
	case err == nil:
		return out.Bytes(), nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, ErrMissing
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.full || stderr.full:
		return nil, fmt.Errorf("git %s: it prints more than %d MiB", args[0], maxOutput>>20)
	}
	err = fmt.Errorf("git %s: %s", args[0], Complaint(stderr.String(), err))
	for _, full := range []string{"No space left on device", "Out of diskspace"} { // of strerror(3), with LC_ALL=C, and of git
		if strings.Contains(stderr.String(), full) {
			return nil, &fullError{err}
		}
	}
	return nil, err
}

// run runs git in a process group.
func run(cmd *exec.Cmd) error {
	group, err := procgroup.New()
	if err != nil {
		return err
	}
	defer group.Release() // the next runs of git use the cache of credentials that git may have started
	cmd.Cancel = func() error { group.Kill(); return nil }
	if err := group.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// A fullError is an error of git that is due to a full disk.
type fullError struct{ error }

func (e *fullError) Unwrap() error { return syscall.ENOSPC }

// passed are the prefixes of the variables of git that are settings of the user. All
// others belong to one repository, such as those that a hook gets, or change the output of
// git.
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

// An output stores the output of a command, up to a limit.
type output struct {
	bytes.Buffer
	left int
	full bool // the limit was exceeded
}

// Write returns an error if the limit is exceeded, which ends the command.
func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.left {
		o.full = true
		return 0, io.ErrShortWrite
	}
	o.left -= len(p)
	return o.Buffer.Write(p)
}
