package modules

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/lock"
)

// fetchGit fetches one commit into a repository without a work tree, and reads
// the files from there: nothing that a repository holds, no link, no submodule,
// no filter, no hook, ever comes to be on this machine.
func (s store) fetchGit(ctx context.Context, m lock.Module, pin lock.Pin) (lock.Pin, map[string][]byte, error) {
	dir, err := os.MkdirTemp(s.dir, ".git-")
	if err != nil {
		return pin, nil, err
	}
	defer os.RemoveAll(dir)
	g := git{m, dir}
	if _, err := g.run(ctx, nil, "init", "--quiet", "--bare", "."); err != nil {
		return pin, nil, err
	}
	commit, ref := pin.Commit, pin.Commit
	if commit == "" {
		if commit, ref, err = g.resolve(ctx); err != nil {
			return pin, nil, err
		}
	}
	ctx, stop := s.bounds.watch(ctx, dir)
	defer stop()
	if _, err := g.run(ctx, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", m.URL(), ref); err != nil {
		// Some servers give no commit that is not the tip of something.
		if ref != commit || ctx.Err() != nil {
			return pin, nil, err
		}
		if _, err := g.run(ctx, nil, "fetch", "--quiet", "--no-recurse-submodules", "--", m.URL(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); err != nil {
			return pin, nil, err
		}
	}
	if err := s.bounds.check(dir); err != nil {
		return pin, nil, err
	}
	out, err := g.run(ctx, nil, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if err != nil {
		return pin, nil, fmt.Errorf("the repository does not have the commit %s any more: %w", commit, err)
	}
	files, err := g.read(ctx, string(out))
	return lock.Pin{Commit: commit}, files, err
}

// A git is the program, in a folder, for a module.
type git struct {
	module lock.Module
	dir    string
}

// resolve returns the commit that the ref of the module is, and what to fetch.
func (g git) resolve(ctx context.Context) (commit, ref string, err error) {
	want := g.module.Ref
	if lock.IsCommit(want) {
		return want, want, nil
	}
	out, err := g.run(ctx, nil, "ls-remote", "--", g.module.URL(), "refs/tags/"+want, "refs/tags/"+want+"^{}", "refs/heads/"+want)
	if err != nil {
		return "", "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && lock.IsCommit(commit) {
			found[name] = commit
		}
	}
	for _, ref := range []string{"refs/tags/" + want, "refs/heads/" + want} {
		for _, name := range []string{ref + "^{}", ref} { // what an annotated tag points at goes first
			if commit := found[name]; commit != "" {
				return commit, ref, nil
			}
		}
	}
	return "", "", fmt.Errorf("there is no tag and no branch %s; a commit must be given with all its digits", want)
}

// read returns the files that ls-tree listed and that are part of a module.
func (g git) read(ctx context.Context, tree string) (map[string][]byte, error) {
	names, sizes, asked := []string{}, []int{}, strings.Builder{}
	c := collector{}
	for entry := range strings.SplitSeq(tree, "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		// A symbolic link is a blob with the mode 120000, a submodule no blob.
		if !ok || len(fields) != 4 || fields[0] != "100644" && fields[0] != "100755" || !lock.IsFile(name) {
			continue
		}
		n, err := strconv.Atoi(fields[3])
		if err != nil {
			return nil, err
		}
		if err := c.admit(name, int64(n)); err != nil {
			return nil, err
		}
		names, sizes = append(names, name), append(sizes, n)
		asked.WriteString(fields[2] + "\n")
	}
	out, err := g.run(ctx, strings.NewReader(asked.String()), "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(bytes.NewReader(out))
	for i, name := range names {
		if _, err := r.ReadString('\n'); err != nil {
			return nil, err
		}
		data := make([]byte, sizes[i])
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		if _, err := r.Discard(1); err != nil {
			return nil, err
		}
		c.put(name, data)
	}
	return c.result()
}

// run runs git, which asks nobody anything and uses no transport but the one of
// the module: an address that runs a command (ext::…) is refused by git itself.
// A user's own settings hold, so that credential helpers and url.….insteadOf do.
func (g git) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
		"-c", "fetch.recurseSubmodules=false",
	}, args...)...)
	whole(cmd)
	cmd.Dir = g.dir
	cmd.WaitDelay = time.Second
	cmd.Stdin = stdin
	transports := strings.TrimPrefix(g.module.Scheme, "git+")
	if transports == "https" {
		transports = "https:ssh" // where a user's settings say so
	}
	for _, kv := range cmd.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_TRACE":
			continue // of a hook that runs us
		}
		cmd.Env = append(cmd.Env, kv)
	}
	cmd.Env = append(cmd.Env, "GIT_ALLOW_PROTOCOL="+transports, "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never",
		"GIT_ASKPASS=", "SSH_ASKPASS=false", "SSH_ASKPASS_REQUIRE=force", "LC_ALL=C")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("it needs the program git, which is not there: install it")
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("git %s: %s", args[0], complaint(stderr.String(), err))
	}
	return out.Bytes(), nil
}

// complaint is what git says is wrong, without what it was told in confidence.
func complaint(stderr string, err error) string {
	var lines []string
	last := "" // what is not of git itself
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, "fatal: ")
		if ok && last != "" && strings.HasPrefix(rest, "Could not read from remote repository") {
			rest = last // why is what ssh has said before
		}
		if ok {
			lines = append(lines, rest)
		} else if line != "" {
			last = line
		}
	}
	text := strings.Join(lines, "; ")
	if text == "" {
		text = strings.TrimSpace(stderr)
	}
	if text == "" || !utf8.ValidString(text) {
		text = err.Error()
	}
	if strings.Contains(text, "terminal prompts disabled") {
		text += ": it wants a password, which one of git's credential helpers must have"
	}
	return lock.Shown(text)
}
