package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// fullCommit is a commit that needs no look at the repository.
var fullCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// openGit finds the commit of a git source. A repository on this machine is
// checked out, and its files are sent like any others; what has an address on
// the network is fetched by BuildKit.
func (b *Builder) openGit(ctx context.Context, spec plan.BuildSpec, src *source, id *identified, commit string) error {
	repo, local := b.localRepository(spec.Source.Git)
	if commit == "" {
		var err error
		if commit, err = b.resolve(ctx, repo, spec.Source.Ref); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return problem(spec, err, "")
		}
	}
	src.commit = commit
	id.Commit = commit
	id.Path = path.Join(spec.Source.Path, spec.Context)
	id.Dockerfile = path.Join(spec.Source.Path, spec.Dockerfile)
	if !local {
		src.url = repo
		return nil
	}
	dir, err := b.checkout(ctx, repo, commit)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return problem(spec, err, "")
	}
	return b.openLocal(ctx, spec, dir, src)
}

// localRepository returns the folder of a repository of this machine, given by
// a path or a file:// URL; or the URL of another.
func (b *Builder) localRepository(git string) (repo string, local bool) {
	if u, err := url.Parse(git); err == nil && u.Scheme == "file" {
		return filepath.FromSlash(u.Path), true
	}
	if filepath.IsAbs(git) {
		return git, true
	}
	if git == "." || git == ".." || strings.HasPrefix(git, "./") || strings.HasPrefix(git, "../") {
		return filepath.Join(b.opts.Dir, filepath.FromSlash(git)), true
	}
	return git, false
}

// resolve returns the commit that ref names in a repository: a branch, a tag, or
// a commit in full.
func (b *Builder) resolve(ctx context.Context, repo, ref string) (string, error) {
	if fullCommit.MatchString(ref) {
		return ref, nil
	}
	if ref == "" {
		ref = "HEAD"
	}
	// Services of one repository ask at once.
	return b.commits.do(ctx, repo+"\x00"+ref, func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		out, err := git(ctx, "", "ls-remote", "--", repo, ref, ref+"^{}")
		if err != nil {
			return "", fmt.Errorf("ask %s for %s: %w", shownURL(repo), ref, err)
		}
		commit, ok := pick(out, ref)
		if !ok {
			return "", fmt.Errorf("%s has no branch or tag %s: check its name; a commit must be given in full, with 40 digits", shownURL(repo), ref)
		}
		return commit, nil
	})
}

// HasBranch implements [runtime.Builder].
func (b *Builder) HasBranch(ctx context.Context, source, branch string) (bool, error) {
	repo, _ := b.localRepository(source)
	ref := "refs/heads/" + branch
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := git(ctx, "", "ls-remote", "--", repo, ref)
	if err != nil {
		return false, fmt.Errorf("ask %s for branch %s: %w", shownURL(repo), branch, err)
	}
	_, has := pick(out, ref)
	return has, nil
}

// pick returns the commit of ref from the output of ls-remote, in git's order of
// preference. What an annotated tag points at has a line that ends in ^{}.
func pick(out, ref string) (string, bool) {
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			found[name] = commit
		}
	}
	for _, prefix := range []string{"", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"} {
		for _, suffix := range []string{"^{}", ""} {
			if commit, ok := found[prefix+ref+suffix]; ok {
				return commit, true
			}
		}
	}
	return "", false
}

// shownURL is repo without a password that may be in it.
func shownURL(repo string) string {
	if u, err := url.Parse(repo); err == nil && u.User != nil {
		return u.Redacted()
	}
	return repo
}

// withoutUser is repo without a user and password of HTTP, which BuildKit gets
// as a secret, so that they are in no log and no cache key.
func withoutUser(repo string) string {
	u, err := url.Parse(repo)
	if err != nil || u.User == nil || u.Scheme != "https" && u.Scheme != "http" {
		return repo
	}
	u.User = nil
	return u.String()
}

// git runs git, which never asks anybody anything.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "SSH_ASKPASS=", "GIT_ASKPASS=", "LC_ALL=C")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("git sources need the program git, which is not there: install it")
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return "", fmt.Errorf("git did not answer in time: %w", context.Cause(ctx))
	case err != nil:
		for len(args) > 2 && (args[0] == "-C" || args[0] == "-c") {
			args = args[2:]
		}
		return "", fmt.Errorf("git %s: %s", args[0], gitMessage(stderr.String(), err))
	}
	return out.String(), nil
}

// gitMessage is the part of what git printed that says what is wrong.
func gitMessage(stderr string, err error) string {
	var lines []string
	before := "" // what a program that git runs printed last, such as ssh
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		switch rest, ok := strings.CutPrefix(line, "fatal: "); {
		case ok && rest == "Could not read from remote repository." && before != "":
			lines = append(lines, hidePasswords(before))
		case ok:
			lines = append(lines, hidePasswords(rest))
		case line != "" && len(lines) == 0:
			before = line
		}
	}
	if len(lines) > 0 {
		text := strings.Join(lines, "; ")
		if strings.Contains(text, "terminal prompts disabled") {
			text += ": it wants a password, which one of git's credential helpers must have"
		}
		return text
	}
	if s := strings.TrimSpace(stderr); s != "" {
		return hidePasswords(s)
	}
	return err.Error()
}

var password = regexp.MustCompile(`(://[^/@:\s]*:)[^/@\s]+@`)

func hidePasswords(s string) string { return password.ReplaceAllString(s, "${1}xxxxx@") }

// checkoutAge is how long a checkout is kept after it was used last.
const checkoutAge = 7 * 24 * time.Hour

// checkout returns a folder with the files of a commit of a local repository.
func (b *Builder) checkout(ctx context.Context, repo, commit string) (string, error) {
	if b.opts.CacheDir == "" {
		return "", errors.New("builds from repositories of this machine need a folder for checkouts, and there is none")
	}
	all := filepath.Join(b.opts.CacheDir, "git")
	dir := filepath.Join(all, commit)
	return b.checkouts.do(ctx, repo+"\x00"+commit, func(ctx context.Context) (string, error) {
		now := time.Now()
		if os.Chtimes(dir, now, now) == nil {
			return dir, nil
		}
		if err := os.MkdirAll(all, 0o700); err != nil {
			return "", err
		}
		removeOld(all)
		temp, err := os.MkdirTemp(all, ".new-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(temp)
		work := filepath.Join(temp, "work")
		steps := [][]string{
			{"clone", "--quiet", "--shared", "--no-checkout", "--", repo, work},
			{"-C", work, "checkout", "--quiet", "--detach", commit},
			{"-C", work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive"},
		}
		for _, args := range steps {
			if _, err := git(ctx, temp, args...); err != nil {
				return "", fmt.Errorf("check out %s of %s: %w", commit, repo, err)
			}
		}
		if err := os.RemoveAll(filepath.Join(work, ".git")); err != nil {
			return "", err
		}
		// Another process may have been faster: its files are the same.
		if err := os.Rename(work, dir); err != nil && !isFolder(dir) {
			return "", err
		}
		return dir, nil
	})
}

// removeOld removes checkouts that nobody used for long, and what was left by
// processes that were killed.
func removeOld(all string) {
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > checkoutAge {
			os.RemoveAll(filepath.Join(all, e.Name()))
		}
	}
}

// credential returns the value of an HTTP Authorization header for a repository,
// from git's credential helpers; none is "".
func credential(ctx context.Context, repo string) string {
	u, err := url.Parse(repo)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	user, pass := u.User.Username(), ""
	if p, ok := u.User.Password(); ok {
		pass = p
	} else {
		in := fmt.Sprintf("protocol=%s\nhost=%s\npath=%s\n", u.Scheme, u.Host, strings.TrimPrefix(u.Path, "/"))
		if user != "" {
			in += "username=" + user + "\n"
		}
		user, pass = fill(ctx, in+"\n")
	}
	if pass == "" {
		return ""
	}
	return basicAuth(user, pass)
}

// fill asks git's credential helpers.
func fill(ctx context.Context, in string) (user, pass string) {
	cmd := exec.CommandContext(ctx, "git", "credential", "fill")
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "SSH_ASKPASS=", "GIT_ASKPASS=")
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		return "", "" // nobody knows any
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		switch name {
		case "username":
			user = value
		case "password":
			pass = value
		}
	}
	return user, pass
}
