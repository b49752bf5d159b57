package build

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// openGit finds the commit of a git source. A repository on this machine is
// checked out, and its files are sent like any others; remote repositories are
// fetched by BuildKit.
func (b *Builder) openGit(ctx context.Context, spec plan.BuildSpec, src *source, id *identified, commit string) error {
	repo, local := b.localRepository(spec.Source.Git)
	if commit == "" {
		var err error
		if commit, err = b.resolve(ctx, repo, spec.Source.Ref); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return ofGit(problem(spec, err, ""))
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
		return ofGit(problem(spec, err, ""))
	}
	return b.openLocal(ctx, spec, dir, src)
}

// ofGit returns an error about a git source with what to do about it.
func ofGit(err error) error {
	return runtime.Advise(err, runtime.Advice{Do: "check the address and ref= of git(), and that git can read it from here with \"git ls-remote\""})
}

// localRepository returns the directory of a repository on this machine, given by
// a path or a file:// URL, or the URL of a remote repository.
func (b *Builder) localRepository(name string) (repo string, local bool) {
	if u, err := url.Parse(name); err == nil && u.Scheme == "file" {
		return filepath.FromSlash(u.Path), true
	}
	if filepath.IsAbs(name) {
		return name, true
	}
	if name == "." || name == ".." || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") {
		return filepath.Join(b.opts.Dir, filepath.FromSlash(name)), true
	}
	return name, false
}

// resolve returns the commit that ref names in a repository: a branch, a tag, or
// a full commit hash, which needs no lookup.
func (b *Builder) resolve(ctx context.Context, repo, ref string) (string, error) {
	if git.IsCommit(ref) {
		return ref, nil
	}
	if ref == "" {
		ref = "HEAD"
	}
	// Services of the same repository ask concurrently.
	return b.commits.Do(ctx, repo+"\x00"+ref, nil, func(ctx context.Context, _ runtime.Emit) (string, error) {
		commit, err := git.Lookup(ctx, git.ForSources(), repo, ref)
		if err != nil {
			return "", fmt.Errorf("ask %s for %s: %w", redact.URLs(repo), ref, err)
		}
		if commit == "" {
			return "", fmt.Errorf("%s has no branch or tag %s: check its name; a commit must be given in full, with 40 digits", redact.URLs(repo), ref)
		}
		return commit, nil
	})
}

// Commit implements [runtime.Builder].
func (b *Builder) Commit(ctx context.Context, source, ref string) (string, error) {
	repo, _ := b.localRepository(source)
	return b.resolve(ctx, repo, ref)
}

// HasBranch implements [runtime.Builder].
func (b *Builder) HasBranch(ctx context.Context, source, branch string) (bool, error) {
	repo, _ := b.localRepository(source)
	commit, err := git.Lookup(ctx, git.ForSources(), repo, "refs/heads/"+branch)
	if err != nil {
		return false, fmt.Errorf("ask %s for branch %s: %w", redact.URLs(repo), branch, err)
	}
	return commit != "", nil
}

// checkout returns a directory with the files of a commit of a local repository.
func (b *Builder) checkout(ctx context.Context, repo, commit string) (string, error) {
	if b.opts.CacheDir == "" {
		return "", errors.New("builds from repositories of this machine need a directory for checkouts, and have none")
	}
	return b.checkouts.Get(ctx, commit, func(ctx context.Context, work string) error {
		steps := []struct {
			dir  string
			args []string
		}{
			{filepath.Dir(work), []string{"clone", "--quiet", "--shared", "--no-checkout", "--", repo, work}},
			{work, []string{"checkout", "--quiet", "--detach", commit}},
			{work, []string{"submodule", "--quiet", "update", "--init", "--recursive"}},
		}
		for _, step := range steps {
			o := git.ForSources()
			o.Dir = step.dir
			if _, err := git.Run(ctx, o, step.args...); err != nil {
				return fmt.Errorf("check out %s of %s: %w", commit, repo, err)
			}
		}
		return nil
	})
}

// withoutUser returns repo without a user name and password for HTTP, which BuildKit gets
// as a secret, so that no log or cache key contains them.
func withoutUser(repo string) string {
	u, err := url.Parse(repo)
	if err != nil || u.User == nil || u.Scheme != "https" && u.Scheme != "http" {
		return repo
	}
	u.User = nil
	return u.String()
}

// credential returns the value of an HTTP Authorization header for a repository,
// from git's credential helpers, or "".
func credential(ctx context.Context, repo string) string {
	u, err := url.Parse(repo)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	user := u.User.Username()
	pass, ok := u.User.Password()
	if !ok {
		// Without credentials the server decides whether it needs any.
		user, pass, _ = git.Credential(ctx, u)
	}
	if pass == "" {
		return ""
	}
	return basicAuth(user, pass)
}
