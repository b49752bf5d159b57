package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// openGit finds the commit of a git source and, if contents is set or the repository is on
// this machine, checks it out. Its files are sent to the builder like any others, so that all
// access to repositories is that of the user's git: its credential helpers, SSH keys and
// rewritten URLs.
func (b *Builder) openGit(ctx context.Context, spec plan.BuildSpec, src *source, id *identified, at opening) error {
	repo, local := b.localRepository(spec.Source.Git)
	commit := cmp.Or(at.commit, spec.Source.Commit)
	if commit == "" {
		var err error
		if commit, err = b.resolve(ctx, repo, spec.Source.Ref); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return runtime.AdviseGit(problem(spec, err, ""))
		}
	}
	if !git.IsCommit(commit) { // it is the name of a directory
		return problem(spec, fmt.Errorf("%q of %s is not a commit", commit, redact.URLs(repo)), "")
	}
	src.commit = commit
	id.Commit = commit
	id.Path = path.Join(spec.Source.Path, spec.Context)
	id.Dockerfile = path.Join(spec.Source.Path, spec.Dockerfile)
	if !local && !at.contents {
		return nil
	}
	checkout, err := b.checkout(ctx, repo, commit, at.emit)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, syscall.ENOSPC) {
			full := problem(spec, fmt.Errorf("fetch %s of %s: the disk of %s is full: %w", commit, redact.URLs(repo), b.checkouts.Dir, err), "")
			return runtime.Advise(full, runtime.Advice{Do: "make room on the disk of " + b.checkouts.Dir + " and run again"})
		}
		var ours *fs.PathError // git's own errors are its messages
		if errors.As(err, &ours) {
			unusable := problem(spec, fmt.Errorf("fetch %s of %s: %w", commit, redact.URLs(repo), err), "")
			return runtime.Advise(unusable, runtime.Advice{Do: "make " + b.checkouts.Dir + " writable, or delete it: it has only copies"})
		}
		return fetchError(spec, commit, redact.URLs(repo), err)
	}
	src.top = checkout.Dir
	src.where = " in " + commit + " of " + redact.URLs(repo)
	if err := b.openLocal(ctx, spec, checkout.Dir, src); err != nil {
		return err
	}
	if !at.contents {
		return nil
	}
	return withoutPointers(spec, src, checkout.Pointers)
}

// fetchError returns the error for a commit that cannot be checked out.
func fetchError(spec plan.BuildSpec, commit, repo string, err error) error {
	said := problem(spec, fmt.Errorf("fetch %s of %s: %w", commit, repo, err), "")
	var sub *git.SubmoduleError
	switch {
	case errors.As(err, &sub) && sub.URL == "":
		return runtime.Advise(said, runtime.Advice{Do: fmt.Sprintf("add the submodule %s to .gitmodules of that repository, or remove the directory from its index", sub.Path)})
	case errors.As(err, &sub): // a command with its URL would be one that somebody else has written
		return runtime.Advise(said, runtime.Advice{Do: fmt.Sprintf("correct the URL of the submodule %s in .gitmodules of that repository, and check that git can read it from here with \"git ls-remote\"", sub.Name)})
	case errors.Is(err, git.ErrNoCommit):
		return runtime.Advise(said, runtime.Advice{Do: "check ref= of git(): a commit that was removed from its branch by a rebase cannot be fetched from every server; a branch or a tag that contains it can"})
	}
	return runtime.AdviseGit(said)
}

// withoutPointers returns an error if a file that the build uses is a pointer of Git LFS.
func withoutPointers(spec plan.BuildSpec, src *source, pointers []string) error {
	context, dockerfile := path.Join(spec.Source.Path, spec.Context), path.Join(spec.Source.Path, spec.Dockerfile)
	for _, p := range pointers {
		rel, below := strings.CutPrefix(p, context+"/")
		if context == "." {
			rel, below = p, true
		}
		if p == dockerfile || below && src.tree.find(rel) != nil {
			return runtime.Advise(
				problem(spec, fmt.Errorf("the content of %s%s is in Git LFS, and the program git-lfs is not installed", p, src.where), ""),
				runtime.Advice{Do: "install git-lfs on this machine, or leave the file out of the build with a line in .dockerignore"},
			)
		}
	}
	return nil
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

// Checkouts returns the directory of checkouts of git repositories below [Options.CacheDir]. Others
// may use it, too.
func Checkouts(cacheDir string) string { return filepath.Join(cacheDir, "git") }

// checkout returns the files of a commit. Concurrent builds of a commit share the work and its
// events.
func (b *Builder) checkout(ctx context.Context, repo, commit string, emit runtime.Emit) (*git.Checkout, error) {
	if b.opts.CacheDir == "" {
		return nil, errors.New("builds from git repositories need a directory for checkouts, and have none")
	}
	return b.fetches.Do(ctx, commit, emit, func(ctx context.Context, emit runtime.Emit) (*git.Checkout, error) {
		return b.checkouts.Get(ctx, commit, func(ctx context.Context, work string) (pointers []string, err error) {
			began := time.Now()
			step := runtime.BuildStep{ID: commit[:12], Name: fmt.Sprintf("fetch %s of %s", commit[:12], redact.URLs(repo))}
			start := step
			start.Started = true
			emit(start)
			pointers, err = git.FetchAll(ctx, git.ForSources(), repo, commit, work)
			step.Done, step.Took = true, time.Since(began)
			if err != nil {
				step.Error = err.Error()
			}
			emit(step)
			return pointers, err
		})
	})
}
