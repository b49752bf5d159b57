package chart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// repository returns a shelf for the charts in the commit that ref names, and checks that
// there is something at the path of ref.
func (s *Shelf) repository(ctx context.Context, ref plan.Chart) (*Shelf, error) {
	shown := redact.URLs(ref.Git)
	commit := ref.Commit
	if commit == "" {
		var err error
		if commit, err = lookup(ctx, ref); err != nil {
			return nil, fmt.Errorf("ask %s for %s: %w; check the address and ref= of git(), and that git can read it from here with \"git ls-remote\"", shown, ref.Version, err)
		}
	}
	if !git.IsCommit(commit) { // it is the name of a directory
		return nil, fmt.Errorf("%q of %s is not a commit", commit, shown)
	}
	checkout, err := s.checkout(ctx, ref.Git, commit)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("fetch %s of %s: %w; check that git can read it from here with \"git ls-remote\"", ref.Version, shown, err)
	}
	in := NewShelf(checkout.Dir, s.cache)
	in.what, in.Notice = "repository", s.Notice
	path, err := in.inWorkspace(ref.Ref)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		_, err = os.Stat(filepath.Join(path, "Chart.yaml"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s at %s has no chart in %s: name the directory with Chart.yaml, or a .tgz, with path= of git()", shown, ref.Version, ref.Ref)
	}
	return in, nil
}

// checkout returns the files of a commit (I10). It uses the checkouts of builds, with submodules and
// the content of files in Git LFS. A chart may not need the submodules: if one cannot be fetched, it
// uses a checkout without them.
func (s *Shelf) checkout(ctx context.Context, repository, commit string) (*git.Checkout, error) {
	withoutSubmodules := commit + ".alone"
	for _, name := range []string{commit, withoutSubmodules} {
		if kept := s.checkouts.Kept(name); kept != nil {
			return kept, nil
		}
	}
	get := func(name string, fetch func(ctx context.Context, work string) ([]string, error)) (*git.Checkout, error) {
		return s.checkouts.Get(ctx, name, func(ctx context.Context, work string) ([]string, error) {
			ctx, stop := context.WithTimeoutCause(ctx, gitTime, fmt.Errorf("git did not end within %s", gitTime))
			defer stop()
			return fetch(ctx, work)
		})
	}
	checkout, err := get(commit, func(ctx context.Context, work string) ([]string, error) {
		return git.FetchAll(ctx, git.ForSources(), repository, commit, work)
	})
	var sub *git.SubmoduleError
	if errors.As(err, &sub) {
		return get(withoutSubmodules, func(ctx context.Context, work string) ([]string, error) {
			return nil, git.Fetch(ctx, git.ForSources(), repository, commit, work)
		})
	}
	return checkout, err
}

// lookup returns the commit that ref names.
func lookup(ctx context.Context, ref plan.Chart) (string, error) {
	if git.IsCommit(ref.Version) {
		return ref.Version, nil
	}
	commit, err := git.Lookup(ctx, git.ForSources(), ref.Git, ref.Version)
	if err == nil && commit == "" {
		err = errors.New("there is no such branch or tag, and a commit must be given in full, with 40 digits")
	}
	return commit, err
}
